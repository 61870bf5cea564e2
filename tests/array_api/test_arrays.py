"""Traced arrays as the standard's array objects: operators, attributes, indexing; complex numbers; NumPy's own."""

import inspect
import operator

import numpy as np
import pytest
from support import assert_same, reference

import chainrule as cr
import chainrule.numpy as ours
from chainrule.errors import ChainruleTypeError, ShapeError, TracedValueError
from chainrule.trace import FUNCTIONS

NUMBER = ["int8", "uint16", "int64", "float32", "float64", "complex64"]
ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv, operator.eq, operator.ne]
ORDERED = [operator.floordiv, operator.mod, operator.lt, operator.le, operator.gt, operator.ge]
BITS = [operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift]


def same(function, *args):
    """``function`` gives what NumPy gives, recorded and jitted."""
    with np.errstate(all="ignore"):
        wanted = function(*args)
    for result in (cr.jit(function)(*args), reference(function, *args)):
        assert_same(result, wanted, limit=16) if np.asarray(wanted).dtype.kind == "f" else same_exactly(result, wanted)


def same_exactly(result, wanted):
    result, wanted = np.asarray(result), np.asarray(wanted)
    assert (result.dtype, result.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_allclose(result, wanted, rtol=1e-6)


@pytest.mark.parametrize("dtype", NUMBER)
def test_operators_with_arrays_and_scalars(dtype):
    x, y = np.array([1, 2, 7], dtype), np.array([3, 1, 2], dtype)
    kind = x.dtype.kind
    chosen = ARITHMETIC + (ORDERED if kind != "c" else []) + (BITS if kind in "iu" else [])
    scalar = 2 if kind in "iu" else 2.5

    def every(x, y):
        return [value for f in chosen for value in (f(x, y), f(x, scalar), f(scalar, x))] + [
            -x, +x, abs(x), x ** 3, x ** y, 2 ** x] + ([~x] if kind in "iu" else []) + (
            [*divmod(x, y), *divmod(9, x)] if kind != "c" else [])
    with np.errstate(all="ignore"):
        wanted = every(x, y)
    for result, value in zip(cr.jit(every)(x, y), wanted, strict=True):
        same_exactly(result, value)


def test_operators_of_bools():
    x, y = np.array([True, False, True, False]), np.array([True, True, False, False])
    same(lambda x, y: np.stack([x & y, x | y, x ^ y, ~x, x & True, False | x, x == y, x != y]), x, y)
    same(lambda x, y: x ** y, x, y)


def test_matmul_and_its_reflection():
    a = np.arange(6.0).reshape(2, 3)
    same(lambda a: a @ a.T, a)
    same(lambda a: np.ones((4, 2)) @ a, a)
    same(lambda a: a @ a.mT, a.astype(np.complex64))


def test_operators_refuse_what_the_standard_refuses():
    for wrong in (lambda x: x + np.array([1.0]) if (x & 1) is None else x & 1.5, lambda x: ~(x * 1.0),
                  lambda x: (x > 0) - (x > 1)):
        with pytest.raises(ChainruleTypeError):
            cr.trace(wrong, np.arange(3))


def test_in_place_operators_bind_a_new_array():
    def run(x):
        y = x
        y += 1
        y *= 2
        return x, y
    x = np.arange(3.0)
    before, after = cr.jit(run)(x)
    np.testing.assert_array_equal(before, [0, 1, 2])
    np.testing.assert_array_equal(after, [2, 4, 6])
    with pytest.raises(ChainruleTypeError, match=r"out= or \+="):
        cr.trace(lambda x: np.ones(3).__iadd__(x), x)


def test_attributes():
    def look(x):
        assert x.__array_namespace__() is ours and x.__array_namespace__(api_version="2023.12") is ours
        assert (x.device, x.ndim, x.size, x.shape, x.dtype) == ("cpu", 2, 6, (2, 3), np.float64)
        assert x.to_device("cpu") is x and (x.nbytes, x.itemsize) == (48, 8) and x.__dlpack_device__() == (1, 0)
        assert x.real.dtype == x.dtype and ours.from_dlpack(x) is x
        return x.T, x.mT, x.imag
    turned, transposed, imaginary = cr.jit(look)(np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(turned, transposed)
    np.testing.assert_array_equal(imaginary, np.zeros((2, 3)))


@pytest.mark.parametrize(("ask", "error", "says"), [
    (lambda x: x.__array_namespace__(api_version="1999.12"), ValueError, "one of"),
    (lambda x: x.to_device("gpu"), ValueError, "the one device"),
    (lambda x: x[0].mT, ShapeError, "two axes"),
    (lambda x: x.__dlpack__(), TracedValueError, "no memory to share"),
    (lambda x: np.from_dlpack(x), TracedValueError, "no memory to share"),
    (lambda x: complex(x[0, 0]), TracedValueError, "would take it out"),
    (lambda x: bool(x[0, 0]), TracedValueError, "np.where"),
    (lambda x: int(x[0, 0]), TracedValueError, "only known when"),
    (lambda x: ours.reshape(x, (4, -1)), ShapeError, "6 elements"),
    (lambda x: ours.unique_values(x), ChainruleTypeError, r"depends on (the )?values"),
    (lambda x: ours.nonzero(x), ChainruleTypeError, r"depends on (the )?values"),
    (lambda x: x[x > 1], ChainruleTypeError, r"depends on (the )?values"),
    (lambda x: ours.repeat(x, x[0].astype(int), axis=0), ValueError, "traced repeats"),
])
def test_what_recording_refuses(ask, error, says):
    with pytest.raises(error, match=says):
        cr.trace(ask, np.arange(6.0).reshape(2, 3))


KEYS = [0, -1, (1, 2), slice(None, None, -1), (slice(1, None), 0), (..., 1), (None, 1),
        (slice(None), None, slice(0, 2)),
        np.array([1, 0, 1]), (np.array([0, 1]), np.array([2, 0])), (np.array([[0], [1]]), np.array([2, 0])), (), ...,
        np.array([True, False]), (slice(None), np.array([True, False, True]))]


@pytest.mark.parametrize("dtype", ["float32", "int16", "bool", "complex128"])
def test_indexing(dtype):
    x = np.arange(6).reshape(2, 3).astype(dtype)
    for result, key in zip(cr.jit(lambda x: [x[k] for k in KEYS])(x), KEYS, strict=True):
        same_exactly(result, x[key])


def test_indexing_with_traced_integers():
    same(lambda x, i, j: x[i, j], np.arange(6.0).reshape(2, 3), np.array([0, 1, -1]), np.array([2, -3, 1]))


# ---------------------------------------------------------------- dtypes, inspection


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_finfo_is_of_python_numbers(dtype):
    for given in (np.dtype(dtype), dtype, np.ones(2, dtype)):
        info = ours.finfo(given)
        limits = (info.eps, info.max, info.min, info.smallest_normal)
        assert {type(v) for v in limits} == {float} and type(info.bits) is int
        expected = np.finfo(dtype)
        assert limits == (expected.eps, expected.max, expected.min, expected.smallest_normal)
        assert info.dtype == expected.dtype and info.tiny == info.smallest_normal


@pytest.mark.parametrize("dtype", ["int8", "uint64"])
def test_iinfo_is_of_python_numbers(dtype):
    for given in (np.dtype(dtype), np.ones((), dtype)):
        info, expected = ours.iinfo(given), np.iinfo(dtype)
        assert (info.bits, info.max, info.min, info.dtype) == (expected.bits, expected.max, expected.min, dtype)
        assert type(info.max) is int
    seen = []
    cr.trace(lambda x: seen.append((ours.iinfo(x).max, ours.can_cast(x, np.int64), ours.result_type(x, 1))) or x,
             np.ones(2, np.int8))
    assert seen == [(127, True, np.int8)]


def test_the_namespace_describes_itself():
    info = ours.__array_namespace_info__()
    assert ours.__array_api_version__ == "2025.12"
    assert info.default_device() == "cpu" and info.devices() == ["cpu"]
    assert info.default_dtypes()["real floating"] == ours.float64
    assert info.capabilities()["boolean indexing"] and set(info.dtypes()) >= {"complex64", "uint8", "bool"}
    assert (ours.e, ours.inf, ours.newaxis, ours.pi) == (np.e, np.inf, None, np.pi) and np.isnan(ours.nan)


def test_from_dlpack_shares_memory():
    x = np.arange(3.0)
    y = ours.from_dlpack(x)
    x[0] = 7
    assert y[0] == 7 and type(y) is np.ndarray
    x[0] = 0
    z = ours.from_dlpack(x, copy=True)
    x[0] = 7
    assert z[0] == 0


def test_results_outside_a_trace_are_numpys():
    x = np.arange(1, 4, dtype=np.float32)
    for name in ("sign", "floor_divide", "expm1", "tanh", "clip", "reshape", "repeat", "sort", "argsort"):
        args = {"floor_divide": (2.0,), "reshape": ((3, 1),), "repeat": (2,), "clip": (1, 2)}.get(name, ())
        result = getattr(ours, name)(x, *args)
        assert type(result) is np.ndarray and (result.dtype == np.float32 or name == "argsort"), name
    assert ours.clip(np.array([1, 300], np.int16), 0, 10**9).tolist() == [1, 300]
    assert ours.clip(x, 1, np.float64(2)).dtype == np.float32


def test_repeat_takes_any_integers():
    assert ours.repeat(np.array([]), np.array([])).shape == (0,)
    for dtype in (np.uint64, np.int8):
        np.testing.assert_array_equal(ours.repeat(np.array([1, 2]), np.array([2, 1], dtype)), [1, 1, 2])


# ---------------------------------------------------------------- complex numbers, Fourier transforms, NumPy's own


def test_derivatives_through_complex_numbers():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=5), rng.normal(size=5) + 1j * rng.normal(size=5)
    for function in (
            lambda x: np.sum(np.abs(np.fft.fft(x)) ** 2), lambda x: np.fft.irfft(np.fft.rfft(x) * w[:3], 5),
            lambda x: np.real(np.exp(x * w) / (x + w)), lambda x: np.imag(np.conj(x * w) ** 2),
            lambda x: np.abs(np.sin(x * w)), lambda x: np.real(np.fft.ifftn(x.reshape(1, 5) * w)),
            lambda x: np.angle(w + x), lambda x: np.real(np.dot(w, x * 1j)), lambda x: np.fft.hfft(x * w, 4),
            lambda x: np.real(np.fft.fft(x, 8, norm="ortho")), lambda x: (x * w).real * (x * w).imag):
        cr.check_grads(function, (x,), order=2)
        gradient = cr.grad(lambda x, f=function: np.sum(f(x)))
        np.testing.assert_allclose(cr.jit(gradient)(x), gradient(x), rtol=1e-12)


def test_vmap_of_fourier_transforms():
    x = np.random.default_rng(0).normal(size=(3, 6))
    np.testing.assert_allclose(cr.vmap(lambda x: np.abs(np.fft.rfft(x)))(x), np.abs(np.fft.rfft(x)), rtol=1e-12)


def test_numpy_evaluates_what_has_no_native_code():
    real, complex_, own = cr.jit(np.sin), cr.jit(lambda x: x * 1j), cr.jit(lambda x: np.nextafter(x, 2))
    x = np.arange(3.0)
    real(x)
    np.testing.assert_array_equal(complex_(x), x * 1j)
    np.testing.assert_array_equal(own(x), np.nextafter(x, 2))
    assert "NumPy" not in repr(real)
    assert repr(complex_).endswith("evaluated by NumPy because of complex128 values>")
    assert "because of np.nextafter>" in repr(own)
    with pytest.raises(ValueError, match="no native code"):
        own.show("loops", x)
    bound = complex_.bind(x)
    x += 1
    bound()
    np.testing.assert_array_equal(bound.result, x * 1j)


def test_loops_of_complex_numbers():
    run = cr.jit(lambda c, xs: cr.scan(lambda c, x: (c * x, c), c, xs)[0])
    assert run(1 + 1j, np.array([1j, 2.0 + 0j])) == (1 + 1j) * 2j


def test_several_results_keep_their_container():
    mantissa, exponent = cr.jit(np.frexp)(np.array([1.5, 8.0]))
    np.testing.assert_array_equal(mantissa * 2.0 ** exponent, [1.5, 8.0])
    assert cr.jit(np.linalg.eigh)(np.eye(2))._fields == ("eigenvalues", "eigenvectors")


def test_numpys_own_functions_have_no_derivative_and_say_so():
    with pytest.raises(ChainruleTypeError, match="derivative of np.i0 is not known"):
        cr.grad(lambda x: np.sum(np.i0(x)))(np.arange(3.0))
    assert cr.grad(lambda x: np.sum(x * np.gcd(4, 6)))(np.ones(2)).tolist() == [2.0, 2.0]


def dispatched():
    """Every function of NumPy that hands a traced array over."""
    for module in (np, np.linalg, np.fft):
        for name in sorted(vars(module)):
            function = getattr(module, name)
            if not name.startswith("_") and (isinstance(function, np.ufunc) or hasattr(function, "_implementation")):
                yield function


# They take no arrays to compute with, call back into Python, write files, or are about memory or dates.
NEITHER = set(
    "apply_along_axis apply_over_axes array2string array_repr array_str busday_count busday_offset common_type "
    "datetime_as_string einsum_path is_busday isnat ix_ may_share_memory min_scalar_type piecewise polydiv save "
    "savetxt savez savez_compressed shares_memory".split())


def test_every_numpy_function_is_recorded_or_refused_on_purpose():
    assert {f.__name__ for f in dispatched() if f not in FUNCTIONS} <= NEITHER
    assert inspect.isfunction(FUNCTIONS[np.unique])
