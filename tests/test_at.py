"""Out-of-place updates: what NumPy's assignment and ufunc.at give, plainly, recorded, compiled and differentiated."""

import numpy as np
import pytest
from samples import FLOATS, INTS, UNSIGNED, draw
from support import assert_same, reference

import chainrule as cr
import chainrule.numpy as cnp
from chainrule import runtime
from chainrule.autodiff import grad
from chainrule.check import check_grads
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError
from chainrule.trace import trace

rng = np.random.default_rng(5)


def spread(shape, start=0.525):
    """Distinct numbers 0.05 apart: none so near another that a step of finite differences would pass it."""
    n = int(np.prod(shape))
    return (start + 0.05 * np.random.default_rng(n).permutation(n)).reshape(shape)


X = spread((4, 5), 0.55)
T = spread((2, 3, 4), 0.55)
MASK = rng.random((4, 5)) < 0.5
UFUNCS = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "power": np.power,
          "min": np.minimum, "max": np.maximum}
METHODS = ["set", *UFUNCS]

KEYS = [
    (X, 1), (X, -1), (X, (2, 3)), (X, slice(1, 3)), (X, (slice(None), slice(4, 0, -2))), (X, slice(3, 1)),
    (X, ...), (X, (..., 0)), (X, None), (X, (None, slice(1, 2), None, 3)), (X, slice(None, None, -1)),
    (X, [0, 2]), (X, np.array([1, 1, -1, 3])), (X, (slice(None), [0, 0, 4])), (X, ([0, 1, 0], [2, 3, 2])),
    (X, ([[0], [3]], [1, 1, 2])), (X, (slice(1, 3), [3, 3, 3])), (X, (slice(None, None, -1), [0, 2])),
    (X, np.zeros((0,), int)), (X, MASK), (X, MASK[:, 0]), (X, (slice(None), MASK[0])), (X, MASK[:, 0] & False),
    (T, (0, slice(None), [1, 1])), (T, ([0, 1], slice(None), [1, 1])), (T, (slice(None), [2, 2, 0])),
    (T, (..., [3, 0], None)), (T, (slice(None), [0, 1, 0], slice(3, 0, -1))), (T, (1, 2, 3)), (T, ([1], 2, [0, 0])),
]


def numpys(x, key, name, value):
    out = np.array(x)
    if name == "set":
        out[key] = value
    else:
        UFUNCS[name].at(out, key, value)
    return out


def label(value):
    return value if isinstance(value, str) else str(value)[:30].replace("\n", " ")


@pytest.mark.parametrize("name", METHODS)
def test_is_what_numpy_does(name):
    cases = []
    for x, key in KEYS:
        cases.append((x, key, np.asarray(1.5)))
        cases.append((x, key, rng.uniform(0.6, 1.8, x[key].shape)))
        if x[key].ndim > 1:
            cases.append((x, key, rng.uniform(0.6, 1.8, x[key].shape[-1:])))
    keys = [key for _, key, _ in cases]

    def everything(arrays):
        return [getattr(cr.at(x, key), name)(v) for (x, v), key in zip(arrays, keys, strict=True)]
    arrays = [(x, v) for x, _, v in cases]
    expected = [numpys(x, key, name, v) for x, key, v in cases]
    plain, recorded, compiled = everything(arrays), reference(everything, arrays), runtime.jit(everything)(arrays)
    for key, e, *results in zip(keys, expected, plain, recorded, compiled, strict=True):
        for r in results:
            assert_same(r, e, limit=8, scale=4, what=f"{name} {key}")


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("x", "key"), KEYS, ids=label)
def test_derivatives(name, x, key):
    check_grads(lambda x, v: getattr(cr.at(x, key), name)(v), (x, spread(x[key].shape)), order=1)
    check_grads(lambda x, v: getattr(cr.at(x)[key], name)(v), (x, np.asarray(1.325)), order=1 if name == "max" else 2)


def test_traced_positions():
    i, j = np.array([0, 3, -1, 0]), np.array([[1], [2]])

    def everything(x, v, i, j):
        return [getattr(at, name)(1.25 if name == "power" else value) for name in METHODS for at, value in (
            (cr.at(x, i), v), (cr.at(x)[:, i], v[0, 0]), (cr.at(x)[i, j], v[0, :4]), (cr.at(x)[1:, i], 0.5))]
    v = rng.uniform(0.6, 1.8, (4, 5))
    expected = everything(X, v, i, j)
    for run in (runtime.jit(everything), lambda *a: reference(everything, *a)):
        for out, wanted in zip(run(X, v, i, j), expected, strict=True):
            assert_same(out, wanted, limit=8)


def test_traced_positions_out_of_range_are_clamped():
    f = lambda x, i: cr.at(x, i).add(1.0)
    assert_same(runtime.jit(f)(np.zeros(3), np.array([7, -9, 1])), np.ones(3))


@pytest.mark.parametrize("name", METHODS)
def test_traced_masks(name):
    rows = MASK[:, 0]

    def everything(x, mask, rows, v):
        return [getattr(cr.at(x, mask), name)(v[0]), getattr(cr.at(x)[rows], name)(v),
                getattr(cr.at(x)[rows], name)(2.5), getattr(cr.at(x, x > 1.025), name)(v[:1])]
    v = spread(5)
    expected = [numpys(X, MASK, name, v[0]), numpys(X, rows, name, v), numpys(X, rows, name, 2.5),
                numpys(X, X > 1.025, name, v[0])]
    for out, wanted in zip(runtime.jit(everything)(X, MASK, rows, v), expected, strict=True):
        assert_same(out, wanted, limit=8, what=name)
    check_grads(lambda x, v: everything(x, MASK, rows, v), (X, v), order=1)


def test_what_a_mask_leaves_out_does_not_reach_the_derivatives():
    x = np.array([-1.0, 0.0, 2.0])
    for name in ("divide", "power", "set"):
        dx, dv = grad(lambda x, v, name=name: np.sum(getattr(cr.at(x, x > 1), name)(v)), argnums=(0, 1))(x, 2.0)
        assert np.isfinite(dx).all() and np.isfinite(dv)


def test_of_several_sets_the_last_one_stays():
    key, v = np.array([2, 0, 2, 2]), np.array([1.0, 2.0, 3.0, 4.0])
    f = lambda x, v: cr.at(x, key).set(v)
    assert_same(runtime.jit(f)(np.zeros(3), v), np.array([2.0, 0.0, 4.0]))
    assert_same(grad(lambda v: np.sum(f(np.zeros(3), v)))(v), np.array([0.0, 1.0, 0.0, 1.0]))


def test_ties_share_the_derivative():
    f = lambda v: cr.at(np.full(2, -9.0), np.array([0, 0, 0])).max(v)[0]
    assert_same(grad(f)(np.array([1.0, 1.0, 0.0])), np.array([0.5, 0.5, 0.0]))


def test_products_with_zeros_have_their_derivatives():
    v = np.array([0.0, 2.0, 0.0, 0.0, 3.0])
    check_grads(lambda x, v: cr.at(x, np.array([0, 0, 1, 1, 2])).multiply(v), (np.array([1.5, 2.0, 0.5]), v), order=1)


@pytest.mark.parametrize("dtype", [*FLOATS, *INTS, *UNSIGNED, "bool"])
def test_every_dtype(dtype):
    x, v = draw(rng, (6, 17), dtype), draw(rng, (4, 17), dtype)
    i = np.array([1, 5, 1, -2])
    names = [n for n in ("set", "add", "subtract", "multiply", "min", "max") if n != "subtract" or dtype != "bool"]

    def everything(x, v, i):
        return [getattr(at, n)(value) for n in names for at, value in (
            (cr.at(x, i), v), (cr.at(x)[1:5], v), (cr.at(x, x > v[0, 0]), v[0, 1]))]
    expected = [numpys(x, key, n, value) for n in names for key, value in (
        (i, v), (slice(1, 5), v), (x > v[0, 0], v[0, 1]))]
    plain = everything(x, v, i)
    for out, wanted, simple in zip(runtime.jit(everything)(x, v, i), expected, plain, strict=True):
        assert_same(out, wanted, limit=8, scale=4, what=dtype)
        assert_same(simple, wanted, what=dtype)


def test_the_array_is_never_changed():
    x = np.zeros(3)
    for name in METHODS:
        getattr(cr.at(x, 1), name)(2.0)
    cr.at(x)[:].get()[:] = 5.0
    assert not x.any()


def test_get():
    f = lambda x, i: (cr.at(x)[1].get(), cr.at(x, i).get())
    for out, wanted in zip(runtime.jit(f)(X, np.array([0, 2])), (X[1], X[[0, 2]]), strict=True):
        assert_same(out, wanted)


def test_dtypes_stay():
    f = lambda x: [cr.at(x, 0).set(2.7), cr.at(x)[1:].add(np.float64(1.0)), cr.at(x, [0, 0]).multiply(3)]
    for out in (*runtime.jit(f)(np.ones(3, np.float32)), *f(np.ones(3, np.float32))):
        assert out.dtype == np.float32
    assert_same(runtime.jit(lambda x: cr.at(x, 0).set(2.7))(np.ones(2, int)), np.array([2, 1]))
    assert_same(runtime.jit(lambda x: cr.at(x, 1).power(2))(np.array([3, 3])), np.array([3, 9]))


# ---------------------------------------------------------------- along an axis


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_put_along_axis(axis):
    order = np.argsort(T, axis=axis)
    f = lambda x, i, v: cnp.put_along_axis(x, i, v, axis=axis)
    expected = T.copy()
    v = rng.normal(size=T.shape)
    np.put_along_axis(expected, order, v, axis)
    assert_same(f(T, order, v), expected)
    assert_same(runtime.jit(f)(T, order, v), expected)
    check_grads(lambda x, v: f(x, order.take([0, 1], axis), v), (T, v.take([0, 1], axis)), order=1)
    assert_same(runtime.jit(lambda x: cnp.put_along_axis(x, np.zeros((1, 1, 1), int), 7.0, axis=1))(T)[:, 0],
                np.full((2, 4), 7.0))


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(("function", "error", "message"), [
    (lambda x: cr.at(x).set(1.0), ArgumentError, "no key"),
    (lambda x: cr.at(x, 0)[1].set(1.0), ArgumentError, "given twice"),
    (lambda x: cr.at(x, 7).set(1.0), IndexError, "index 7"),
    (lambda x: cr.at(x, [0, 7]).set(1.0), IndexError, "index 7"),
    (lambda x: cr.at(x, 0).set(np.ones(3)), ShapeError, r"value of shape \(3,\) for a place of shape \(5,\)"),
    (lambda x: cr.at(x, [0, 1]).add(np.ones((3, 5))), ShapeError, r"shape \(3, 5\)"),
    (lambda x: cr.at(x, x > 1).set(np.ones(20)), ShapeError, "how many elements it picks is not"),
    (lambda x: cr.at(x, x[0] > 1).set(1.0), ShapeError, r"mask of shape \(5,\)"),
    (lambda x: cr.at(x, (x > 1, 0)).set(1.0), ChainruleTypeError, "traced mask among other keys"),
    (lambda x: cr.at(x.astype(int), 0).divide(2), ChainruleTypeError, "divide for an array of dtype int64"),
    (lambda x: cr.at(x.astype(int), 0).add(0.5), ChainruleTypeError, "float64 into an array of int64"),
    (lambda x: cr.at(x > 1, 0).subtract(True), ChainruleTypeError, "subtract"),
    (lambda x: cnp.put_along_axis(x, np.zeros(3, int), 1.0), ArgumentError, "positions of 1 axes"),
    (lambda x: cnp.put_along_axis(x, np.zeros((3, 1), int), 1.0), ShapeError, r"positions of shape \(3, 1\)"),
])
def test_errors_say_what_fits(function, error, message):
    with pytest.raises(error, match=f"(?i){message}"):
        trace(function, X)
