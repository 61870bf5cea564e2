"""Dtypes: half types against NumPy's and ml_dtypes' arithmetic, Python numbers against NumPy's promotion."""

import operator
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import FLOATS, HALF, INTS, UNSIGNED, ml_dtypes
from support import assert_same, reference

import chainrule as cr
from chainrule import cache, dtypes, runtime
from chainrule.compiler.pipeline import build
from chainrule.compiler.widen import widen
from chainrule.errors import ChainruleTypeError
from chainrule.llvm.emit import emit_program
from chainrule.llvm.jit import compile_module, host
from chainrule.ops.declare import REGISTRY
from chainrule.trace import FUNCTIONS, record

ALL = (*FLOATS, *INTS, *UNSIGNED, "bool")
SLOW = dict(deadline=None, derandomize=True)
PLAIN = replace(host(), cpu="x86-64", features="", vector_bytes=16, vector_registers=16, native_half=False)
half = pytest.mark.parametrize("dtype", HALF)
brain = pytest.mark.skipif(ml_dtypes is None, reason="bfloat16 needs ml_dtypes (pip install chainrule[bfloat16])")


def compiled_for(target, function, *args):
    """``function`` compiled for a target of our choice, called once."""
    graph, _ = record(function, args)
    program = build(graph)
    module, arena, workers = emit_program(program, target)
    code = (compile_module(module, target),)
    constants = tuple(np.ascontiguousarray(v).reshape(-1) for _, v in program.constants)
    outputs = [np.empty(o.shape, o.dtype) for o in graph.outputs]
    runtime.Executable(cache.Entry(code, arena, constants, workers)).run(args, outputs)
    return outputs[0] if len(outputs) == 1 else outputs


def bits_of(x):
    """The bits of floats, with one NaN for all."""
    word = np.dtype(f"u{x.dtype.itemsize}")
    with np.errstate(all="ignore"):
        wide = x.astype(np.float64)
    return np.where(np.isnan(wide), word.type(2**(8 * word.itemsize) - 1), x.view(word))


TARGETS = [host()] + ([PLAIN] if host().triple.startswith("x86_64") else [])


# ---------------------------------------------------------------- conversions, bit by bit


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: "native" if t.native_half else "integer")
@half
def test_every_half_number_widens_exactly(dtype, target):
    every = np.arange(2**16, dtype=np.uint16).view(dtype)
    for wide in (np.float32, np.float64):
        out = compiled_for(target, lambda x, wide=wide: x.astype(wide), every)
        with np.errstate(all="ignore"):
            expected = every.astype(wide)
        np.testing.assert_array_equal(bits_of(out), bits_of(expected))


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: "native" if t.native_half else "integer")
@half
@pytest.mark.parametrize("wide", ["float32", "float64"])
def test_floats_round_to_the_nearest_half_number(wide, dtype, target):
    with np.errstate(all="ignore"):
        every = np.arange(2**16, dtype=np.uint16).view(dtype).astype(wide)
        every = np.sort(every[np.isfinite(every)])
        middle = every[:-1] + (every[1:] - every[:-1]) / 2
        near = [np.nextafter(middle, np.asarray(to, wide)) for to in (-np.inf, np.inf)]
        limit = dtypes.finfo(np.dtype(dtype)).max
        far = np.array([np.inf, -np.inf, np.nan, 1e38, -1e38, limit * (1 + 2.0**-12), -limit * (1 + 2.0**-9)], wide)
        noise = np.random.default_rng(0).integers(0, 2**32, 40_000, np.uint32).view(np.float32).astype(wide)
        x = np.concatenate([every, middle, *near, far, noise, -noise])
        expected = x.astype(dtype)
    out = compiled_for(target, lambda x: x.astype(dtype), x)
    np.testing.assert_array_equal(bits_of(out), bits_of(expected))


@half
def test_whole_numbers_and_bools_convert(dtype):
    for other in (*INTS, *UNSIGNED, "bool"):
        x = np.arange(-20 if other in INTS else 0, 100).astype(other)
        assert_same(cr.jit(lambda x: x.astype(dtype))(x), x.astype(dtype), 0)
        y = np.array([0, 1, 2.5, 100, 77.75], dtype)
        assert_same(cr.jit(lambda y, other=other: y.astype(other))(y), y.astype(other), 0)


@brain
def test_half_types_convert_to_one_another():
    x = np.arange(2**16, dtype=np.uint16)
    for a, b in (HALF, HALF[::-1]):
        with np.errstate(all="ignore"):
            expected = x.view(a).astype(b)
        np.testing.assert_array_equal(bits_of(cr.jit(lambda v, b=b: v.astype(b))(x.view(a))), bits_of(expected))


def test_code_without_conversion_instructions_calls_nothing():
    x = np.linspace(-4, 4, 37).astype(np.float16)

    def function(x):
        return np.exp(x) * x + np.sum(x)
    with np.errstate(all="ignore"):
        assert_same(compiled_for(PLAIN, function, x), reference(function, x), 1)


# ---------------------------------------------------------------- arithmetic


@half
def test_arithmetic_is_numpys_rounded_every_time(dtype):
    rng = np.random.default_rng(1)
    x, y = (rng.normal(size=500).astype(dtype) for _ in range(2))
    y[:10] = 0

    def function(x, y):
        return x * y + x, (x - y) / y, np.maximum(x, -y) * 3, abs(x) ** 2, np.sqrt(abs(x)), x < y
    with np.errstate(all="ignore"):
        expected = (x * y + x, (x - y) / y, np.maximum(x, -y) * np.asarray(3, dtype), abs(x) * abs(x), np.sqrt(abs(x)),
                    x < y)
    for out, wanted in zip(cr.jit(function)(x, y), expected, strict=True):
        assert_same(out, wanted, 0)


@half
def test_sums_and_products_accumulate_in_float32(dtype):
    many = np.full(5000, 1, dtype)
    assert float(cr.jit(np.sum)(many)) == float(np.float32(5000).astype(dtype))
    assert float(cr.jit(np.mean)(np.full(5000, 30, dtype))) == 30  # 150,000 is beyond float16
    assert float(cr.jit(np.dot)(many, many)) == float(np.float32(5000).astype(dtype))
    spread = cr.jit(lambda x: REGISTRY["scatter_add"](x, np.zeros(5000, int), axis=0, extent=1))(many)
    assert float(spread[0]) == float(np.float32(5000).astype(dtype))


@half
def test_functions_of_arrays(dtype):
    rng = np.random.default_rng(2)
    x, w = rng.normal(size=(6, 5)).astype(dtype), rng.normal(size=(5, 4)).astype(dtype)

    def function(x, w):
        y = x @ w
        return (y, np.concatenate([x, w.T]), np.where(x > 0, x, -x), np.take(x, np.array([2, 0]), axis=0),
                np.argmax(x, axis=1), np.max(x, axis=0), np.mean(x), np.var(x, axis=0), np.clip(x, -0.5, 0.5),
                np.tanh(x)[:, ::-1], np.cumsum(x, axis=0), np.linalg.norm(x), np.nan_to_num(x), x.T.reshape(-1),
                np.isfinite(x), np.any(x > 1), cr.scan(lambda c, row: (c + row, c * row), np.zeros(5, dtype), x))
    compiled, expected = cr.jit(function)(x, w), reference(function, x, w)
    for out, wanted in zip(cr.trace(lambda *a: compiled).outputs, cr.trace(lambda *a: expected).outputs, strict=True):
        assert_same(out.params["value"], wanted.params["value"], 2, absolute=2e-3)


@half
def test_derivatives_keep_the_dtype(dtype):
    rng = np.random.default_rng(3)
    x, w = rng.normal(size=(6, 5)).astype(dtype), rng.normal(size=(5, 4)).astype(dtype)

    def loss(x, w):
        hidden = np.maximum(np.tanh(x @ w), 0.1)
        return np.mean(hidden * hidden) + np.sum(np.take(w, np.array([1, 1]), axis=0)) * 0.01
    exact = cr.grad(loss, (0, 1))(x.astype(np.float64), w.astype(np.float64))
    eps = dtypes.finfo(np.dtype(dtype)).eps
    for g in (cr.grad(loss, (0, 1)), cr.jit(cr.grad(loss, (0, 1)))):
        for found, wanted in zip(g(x, w), exact, strict=True):
            assert found.dtype == dtype
            np.testing.assert_allclose(found.astype(np.float64), wanted, rtol=0, atol=8 * eps * np.abs(wanted).max())
    value, pushed = cr.jvp(loss, (x, w), (x, w))
    assert value.dtype == pushed.dtype == dtype
    out, pull = cr.vjp(lambda x: np.exp(x), x)
    assert pull(np.ones_like(out))[0].dtype == dtype


@half
def test_finite_differences_of_half_types(dtype):
    g = cr.finite_difference(lambda x: np.sum(x.astype(np.float64) ** 2), [np.array([1.0, 2.0], dtype)])
    np.testing.assert_allclose(g.astype(float), [2, 4], rtol=0.1)


@half
def test_a_program_comes_back_from_the_disk_cache(dtype, tmp_path):
    script = ("import ml_dtypes; " if dtype == "bfloat16" else "") + f"""
import numpy as np, chainrule as cr
x = np.arange(8).astype({dtype!r})
y = cr.jit(lambda x: x * np.arange(8).astype({dtype!r}) + 0.5)(x)
assert y.dtype == {dtype!r} and float(y[3]) == 9.5, y
print(cr.runtime.Counters.compiled, cr.runtime.Counters.loaded)
"""
    env = {"CHAINRULE_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": ":".join(sys.path)}
    runs = [subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True) for _ in range(2)]
    assert [r.stdout for r in runs] == ["1 0\n", "0 1\n"], runs


def test_the_widened_graph_only_moves_half_numbers():
    graph, _ = record(lambda x: np.sum(x * x + x), (np.ones(4, np.float16),))
    assert [n.op.name for n in widen(graph).nodes if n.dtype == np.float16] == ["input", "cast", "cast", "cast"]
    float32, _ = record(lambda x: np.sum(x * x + x), (np.ones(4, np.float32),))
    assert widen(float32) is float32


# ---------------------------------------------------------------- bfloat16 as an extra


def test_the_package_never_imports_ml_dtypes_by_itself():
    code = "import sys, chainrule; assert 'ml_dtypes' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_ml_dtypes_the_error_names_the_extra():
    code = "import sys; sys.modules['ml_dtypes'] = None\nfrom chainrule.half import bfloat16"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode and "pip install chainrule[bfloat16]" in result.stderr and "ImportError" in str(
        cr.errors.MissingExtra.__mro__)


@brain
def test_bfloat16_promotes_as_float16_does():
    b = np.dtype("bfloat16")
    for other in (*FLOATS, *INTS, *UNSIGNED, "bool"):
        if other == "bfloat16":
            continue
        wanted = np.float32 if other == "float16" else np.result_type(np.float16, other)
        wanted = b if wanted == np.float16 else wanted
        assert dtypes.promote(b, np.dtype(other)) == dtypes.promote(np.dtype(other), b) == wanted
        out = cr.jit(lambda x, y: (x + y, y * x))(np.ones(2, b), np.ones(2, other))
        assert out[0].dtype == out[1].dtype == wanted
    for number in (True, 2, 2.5):
        assert cr.jit(lambda x, s: x * s)(np.ones(2, b), number).dtype == b
        assert cr.jit(lambda x, s=number: x * s)(np.ones(2, b)).dtype == b


def test_void_is_no_bfloat16():
    for dtype in ("V2", [("a", "i2")]):
        with pytest.raises(ChainruleTypeError, match="cannot be traced"):
            cr.jit(lambda x: x)(np.zeros(3, dtype))


# ---------------------------------------------------------------- Python numbers are weak

NUMPY = [d for d in ALL if d != "bfloat16"]
OPERATORS = {name: getattr(operator, name) for name in (
    "add sub mul truediv floordiv mod and_ or_ xor lshift rshift eq ne lt le gt ge").split()}
# Not compared: ldexp, where NumPy takes the first of its loops that fits, and powers of whole numbers.
UFUNCS = {name: getattr(np, name) for name in (
    "add subtract multiply true_divide floor_divide remainder maximum minimum fmax fmin arctan2 copysign heaviside "
    "logaddexp logaddexp2 equal less greater_equal logical_and bitwise_and bitwise_or bitwise_xor left_shift "
    "right_shift").split()}
NUMBERS = st.sampled_from([True, 0, 2, 7, 0.5, 2.5])


def outcome(function, *args):
    """Dtypes and values, or None for a refusal."""
    try:
        with np.errstate(all="ignore"):
            out = function(*args)
    except (TypeError, ZeroDivisionError):
        return None
    return np.asarray(out)


def agree(function, *args):
    zero = any(type(a) in (int, bool, float) and a == 0 for a in args)  # Python refuses to divide by it
    got, wanted = outcome(cr.jit(function), *args), outcome(function, *args)
    if wanted is None or got is None:
        assert (got is None) == (wanted is None) or zero, (got, wanted)
        return
    assert_same(got, wanted, limit=8, absolute=1e-3 if wanted.dtype == np.float16 else 0.0)


@settings(max_examples=150, **SLOW)
@given(st.sampled_from(sorted(OPERATORS | UFUNCS)), st.sampled_from(NUMPY), NUMBERS, st.booleans())
def test_arrays_and_python_numbers_promote_as_in_numpy(name, dtype, number, swap):
    function = (OPERATORS | UFUNCS)[name]
    x = np.array([1, 2, 3], dtype)
    agree((lambda x, s: function(s, x)) if swap else function, x, number)


@settings(max_examples=80, **SLOW)
@given(st.sampled_from(sorted(OPERATORS | UFUNCS)), NUMBERS, NUMBERS)
def test_python_numbers_alone_are_as_in_python(name, a, b):
    agree((OPERATORS | UFUNCS)[name], a, b)


@settings(max_examples=80, **SLOW)
@given(st.sampled_from(sorted(UFUNCS)), st.sampled_from(NUMPY), st.sampled_from(NUMPY))
def test_arrays_promote_as_in_numpy(name, a, b):
    agree(UFUNCS[name], np.array([1, 2, 3], a), np.array([3, 2, 1], b))


# Of bools NumPy makes an int8 of these, or refuses; the cube root of whole numbers is a float64 here.
UNARY = {f.__name__: f for f in FUNCTIONS if isinstance(f, np.ufunc) and (f.nin, f.nout) == (1, 1)}


@settings(max_examples=100, **SLOW)
@given(st.sampled_from(sorted(set(UNARY) - {"square", "reciprocal", "positive", "conjugate", "cbrt"})),
       st.sampled_from(NUMPY))
def test_functions_of_one_argument_give_numpys_dtype(name, dtype):
    agree(UNARY[name], np.array([1, 1, 0], dtype))


@pytest.mark.parametrize(("function", "numbers", "wanted"), [
    (lambda x, s: x * s, (2.0,), "float32"),
    (lambda x, s: x * (s * s - 1), (2.0,), "float32"),
    (lambda x, s: x / s, (3,), "float32"),
    (lambda x, s: np.where(x > s, x, s), (0.5,), "float32"),
    (lambda x, s, t: np.clip(x, s, t), (0, 0.5), "float32"),
    (lambda x, s: np.maximum(x, s), (0.5,), "float32"),
    (lambda x, s: x * np.sin(s), (0.5,), "float64"),  # np.sin(0.5) is a np.float64
    (lambda x, s: x * np.float64(s) if isinstance(s, float) else x * s.astype(np.float64), (0.5,), "float64"),
    (lambda x, s: -abs(s), (2,), "int64"),
    (lambda x, s: s > 1, (2,), "bool"),
    (lambda x, s: s + s, (True,), "int64"),
    (lambda x, s: divmod(s, 2)[0] * x, (7,), "float32"),
])
def test_weak_programs(function, numbers, wanted):
    x = np.linspace(0, 1, 5, dtype=np.float32)
    got, expected = np.asarray(cr.jit(function)(x, *numbers)), np.asarray(function(x, *numbers))
    assert got.dtype == expected.dtype == wanted
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_a_number_and_a_numpy_scalar_are_two_signatures():
    f = cr.jit(lambda x, s: x * s)
    x = np.ones(2, np.float32)
    assert f(x, 2.0).dtype == np.float32 and f(x, np.float64(2.0)).dtype == np.float64
    assert f(x, np.asarray(2.0)).dtype == np.float64 and f(x, 3.0).dtype == np.float32


def test_integers_out_of_range():
    x = np.arange(4, dtype=np.uint8)
    add = cr.jit(lambda x, s: x + s)
    assert add(x, 250).dtype == np.uint8
    for big in (300, -1):
        for call in (lambda s: add(x, s), lambda s: cr.jit(lambda x: x + s)(x), lambda s: x + s):
            with pytest.raises(OverflowError, match="out of bounds for uint8"):
                call(big)
    for number in (300, -5, 2**70, 2):
        for name in ("lt", "le", "gt", "ge", "eq", "ne"):
            compare = OPERATORS[name]
            np.testing.assert_array_equal(cr.jit(lambda x, c=compare, n=number: c(x, n))(x), compare(x, number))
            if abs(number) < 2**63:
                np.testing.assert_array_equal(cr.jit(compare)(x, number), compare(x, number))


def test_derivatives_by_python_numbers():
    x = np.linspace(0, 1, 5, dtype=np.float32)
    for transform in (lambda f: f, cr.jit):
        g = transform(cr.grad(lambda s: s * s))(3.0)
        assert isinstance(g, np.float64) and g == 6
        value, (gs, gx) = transform(cr.value_and_grad(lambda s, x: np.sum(x * s), (0, 1)))(2.0, x)
        assert (value.dtype, gs.dtype, gx.dtype) == (np.float32, np.float64, np.float32)
        np.testing.assert_allclose([value, gs], [5, 2.5])
    assert cr.jvp(lambda s: x * s, (2.0,), (1.0,))[1].dtype == np.float32
    assert cr.jit(cr.grad(lambda x, s: np.sum(cr.grad(lambda t: t * np.sum(x))(s)) * s))(x, 2.0).dtype == np.float32


@pytest.mark.parametrize("init", [0.0, 0, False])
def test_a_scan_may_begin_with_a_python_number(init):
    x = np.arange(1, 5, dtype=np.float32)
    total, sums = cr.scan(lambda c, x: (c + x, c * 2), init, x)
    assert total.dtype == sums.dtype == np.float32 and total == 10
    total, _ = cr.jit(lambda s, x: cr.scan(lambda c, x: (c + x, None), s, x))(init, x)
    assert total.dtype == np.float32 and total == 10


def test_carries_of_a_scan_find_their_dtypes():
    x = np.ones(3, np.float32)
    count, halved = cr.scan(lambda c, _: ((c[0] + 1, c[1] / 2), None), (0, 1), length=3)[0]
    assert (count.dtype, halved.dtype) == (np.int64, np.float64) and (count, halved) == (3, 0.125)
    a, b = cr.scan(lambda c, x: ((np.sin(c[0]), x * c[0]), None), (1.0, 0.0), x)[0]
    assert a.dtype == b.dtype == np.float64  # the second turn multiplies by a np.float64
    reset, _ = cr.scan(lambda c, x: (0.0, c), np.float32(2), x)
    assert reset.dtype == np.float32
    with pytest.raises(ValueError, match="changed a carry from float32"):
        cr.scan(lambda c, x: (c + np.float64(1), None), np.float32(0), x)


def test_numbers_stay_weak_through_transformations():
    x = np.ones((4, 3), np.float32)
    for transform in (lambda f: f, cr.jit):
        assert transform(cr.vmap(lambda x, s: x * s, in_axes=(0, None)))(x, 2.0).dtype == np.float32
        assert transform(cr.checkpoint(lambda x, s: x * s))(x, 2.0).dtype == np.float32
        assert transform(cr.hessian(lambda s: s * s * s))(2.0) == 12
        branch = transform(lambda x, s: cr.cond(s > 1, lambda x, s: x * s, lambda x, s: x - s, x, s))
        assert branch(x, 2.0).dtype == np.float32
        loop = transform(lambda x, s: cr.while_loop(lambda c: c < 5, lambda c: c + x[0, 0], s))
        assert loop(x, 0.0).dtype == np.float32
        assert transform(lambda x, s: cr.fori_loop(0, 3, lambda i, c: c + x[0], s * x[0]))(x, 0).dtype == np.float32
    assert cr.jit(lambda x: cr.cond(x[0, 0] > 0, lambda: x[0, 0], lambda: 0))(x).dtype == np.float32


@half
def test_loops_and_batches_of_half_types(dtype):
    x = np.linspace(0, 1, 12).astype(dtype).reshape(4, 3)
    programs = (
        cr.vmap(cr.grad(lambda r: np.sum(np.sin(r) ** 2))),
        lambda x: cr.hessian(lambda r: np.sum(np.sin(r) ** 2))(x[0]),
        cr.grad(lambda x: cr.scan(lambda c, r: (np.tanh(c + r @ r), c), 0.0, x)[0]),
        lambda x: cr.while_loop(lambda c: c < 20, lambda c: c * 2, x[1, 1]),
        lambda x: cr.cond(x[0, 0] > 0, lambda x: x * 2, lambda x: -x, x),
        cr.grad(lambda x: np.sum(cr.checkpoint(np.sin)(x))))
    eps = dtypes.finfo(np.dtype(dtype)).eps
    for program in programs:
        out, exact = cr.jit(program)(x), program(x.astype(np.float64).astype(np.float32))
        assert out.dtype == dtype
        np.testing.assert_allclose(np.asarray(out, np.float32), exact, atol=16 * eps * (1 + np.abs(exact).max()))
