"""Sorting, searching, sets, counting, quantiles and sequences: what NumPy gives, recorded, compiled, differentiated."""

import warnings

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
from chainrule.ops.declare import REGISTRY
from chainrule.trace import trace

rng = np.random.default_rng(11)
V = rng.normal(size=9)
W = rng.normal(size=9)
M = rng.normal(size=(4, 6))
T = rng.normal(size=(2, 3, 5))
K = rng.integers(-4, 5, (4, 6))
U = rng.integers(0, 6, 20).astype(np.uint8)
N = np.array([[1.0, np.nan, -2.0, 4.0, 4.0], [0.0, -0.0, np.inf, -np.inf, 1.0], [np.nan] * 5])
SORTED = np.sort(V)
SMOOTH, FLAT = True, False  # whether a derivative is checked


def case(function, *args, grads=SMOOTH):
    return pytest.param(function, args, grads, id=f"line{function.__code__.co_firstlineno}")


SORTING = [
    case(lambda x: np.sort(x), V),
    case(lambda x: np.sort(x, axis=0), M),
    case(lambda x: np.sort(x, axis=None), T),
    case(lambda x: np.sort(x, axis=1, stable=True), T),
    case(lambda x: np.sort(x, kind="mergesort"), K, grads=FLAT),
    case(lambda x: np.sort(x), N, grads=FLAT),
    case(lambda x: np.sort(x, axis=0), N, grads=FLAT),
    case(lambda x: np.sort(x) * 1, U, grads=FLAT),
    case(lambda x: np.sort(x, axis=0), K > 0, grads=FLAT),
    case(lambda x: np.argsort(x), V, grads=FLAT),
    case(lambda x: np.argsort(x, axis=0, kind="stable"), K, grads=FLAT),
    case(lambda x: np.argsort(x, axis=None, stable=True), K, grads=FLAT),
    case(lambda x: np.argsort(x, kind="stable"), N, grads=FLAT),
    case(lambda x: x.argsort(kind="stable"), U, grads=FLAT),
    case(lambda x: np.argsort(x, kind="stable"), K > 0, grads=FLAT),
    case(lambda x, y: np.lexsort((x, y)), K[0], K[1], grads=FLAT),
    case(lambda x: np.lexsort(x, axis=-1), K, grads=FLAT),
    case(lambda x: np.partition(x, 3)[..., 3], M),
    case(lambda x: np.partition(x, [0, -1], axis=0)[[0, -1]], M),
    case(lambda x: np.argpartition(x, 2, axis=0)[2], M, grads=FLAT),
    case(lambda a, v: np.searchsorted(a, v), SORTED, W, grads=FLAT),
    case(lambda a, v: np.searchsorted(a, v, side="right"), SORTED, M, grads=FLAT),
    case(lambda a: np.searchsorted(a, 0.1), SORTED, grads=FLAT),
    case(lambda v: np.searchsorted(np.array([1, 2, 2, 5]), v), K, grads=FLAT),
    case(lambda v: np.searchsorted(np.array([1, 2, 2, 5]), v, "right"), K, grads=FLAT),
    case(lambda v: np.searchsorted([-np.inf, 0.0, 1.0, np.inf, np.nan, np.nan], v), N, grads=FLAT),
    case(lambda v: np.searchsorted([-np.inf, 0.0, 1.0, np.inf, np.nan, np.nan], v, "right"), N, grads=FLAT),
    case(lambda a, v: np.searchsorted(a, v, sorter=np.argsort(a)), V, W, grads=FLAT),
    case(lambda a, v: a.searchsorted(v), SORTED.astype(np.float32), W, grads=FLAT),
    case(lambda a: np.searchsorted(a, [0.0]), np.zeros(0), grads=FLAT),
    case(lambda x: np.digitize(x, [-1.0, 0.0, 1.5]), M, grads=FLAT),
    case(lambda x: np.digitize(x, np.array([3, 1, -1]), right=True), K, grads=FLAT),
    case(lambda x, b: np.digitize(x, b), V, SORTED[::-1].copy(), grads=FLAT),
    case(lambda x, b: np.digitize(x, b, right=True), V, SORTED, grads=FLAT),
]

SETS = [
    case(lambda x: np.isin(x, [1, 2, -3]), K, grads=FLAT),
    case(lambda x, y: np.isin(x, y, invert=True), K, U, grads=FLAT),
    case(lambda x: np.isin(x, x[0]), N, grads=FLAT),
    case(lambda x: np.isin(x, np.zeros(0)), V, grads=FLAT),
    case(lambda x: np.isin(x, [True]), K > 0, grads=FLAT),
    case(lambda x: np.count_nonzero(x), U, grads=FLAT),
    case(lambda x: np.count_nonzero(x, axis=0), N, grads=FLAT),
    case(lambda x: np.count_nonzero(x, axis=1, keepdims=True), K > 0, grads=FLAT),
    case(lambda w: np.bincount(U, w), rng.normal(size=20)),
    case(lambda w: np.bincount(U, w, minlength=9), rng.normal(size=20)),
    case(lambda x: np.histogram(x, bins=4)[0], M, grads=FLAT),
    case(lambda x: np.histogram(x, bins=4)[1], M),
    case(lambda x: np.histogram(x, bins=7, range=(-1, 1))[0], M, grads=FLAT),
    case(lambda x: np.histogram(x, bins=3, range=(-1.5, 1), density=True)[0], M, grads=FLAT),
    case(lambda x: np.histogram(x, bins=[-2.0, -1.0, 0.0, 3.0])[0], M, grads=FLAT),
    case(lambda x: np.histogram(x, bins=5)[0], K, grads=FLAT),
    case(lambda x: np.histogram(x, bins=5, range=(0, 0))[1], V, grads=FLAT),
    case(lambda w: np.histogram(V, bins=4, weights=w)[0], W),
    case(lambda x: np.histogram_bin_edges(x, 3), V),
]

METHODS = ("linear lower higher nearest midpoint inverted_cdf averaged_inverted_cdf closest_observation "
           "interpolated_inverted_cdf hazen weibull median_unbiased normal_unbiased").split()
QUANTILES = [
    case(lambda x: np.median(x), V),
    case(lambda x: np.median(x, axis=0), M),
    case(lambda x: np.median(x, axis=(0, 2), keepdims=True), T),
    case(lambda x: np.median(x, axis=1), N, grads=FLAT),
    case(lambda x: np.median(x), K, grads=FLAT),
    case(lambda x: np.median(x), V.astype(np.float32), grads=FLAT),
    case(lambda x: np.nanmedian(x, axis=0), N, grads=FLAT),
    case(lambda x: np.nanmedian(x[:2], axis=1), N, grads=FLAT),
    case(lambda x: np.nanmedian(x, axis=1), N, grads=FLAT),
    case(lambda x: np.nanmedian(x, axis=(0, 1), keepdims=True), T),
    case(lambda x: np.median(x[:, :0], axis=1), M, grads=FLAT),
    case(lambda x: np.nanmedian(x[:, :0], axis=1), M, grads=FLAT),
    case(lambda x: np.quantile(x, 0.3), V),
    case(lambda x: np.quantile(x, [0.0, 0.25, 1.0], axis=1), M),
    case(lambda x: np.quantile(x, [[0.1], [0.9]], axis=(0, 2), keepdims=True), T),
    case(lambda x, q: np.quantile(x, q), V, np.array([0.13, 0.77])),
    case(lambda x: np.quantile(x, 0.25, axis=1), N, grads=FLAT),
    case(lambda x: np.quantile(x, 0.25), V.astype(np.float32), grads=FLAT),
    case(lambda x: np.quantile(x, [0.25, 0.5]), V.astype(np.float32), grads=FLAT),
    case(lambda x: np.percentile(x, 40), M),
    case(lambda x: np.percentile(x, [10, 50], axis=0), K, grads=FLAT),
    case(lambda x: np.nanpercentile(x, [10, 50], axis=0), N, grads=FLAT),
    case(lambda x: np.nanquantile(x[:2], 0.7, axis=1), N, grads=FLAT),
    case(lambda x: np.nanquantile(x, 0.7), M),
    *[case(lambda x, m=m: np.quantile(x, np.linspace(0, 1, 21), method=m), V) for m in METHODS],
    *[case(lambda x, m=m: np.quantile(x, np.linspace(0, 1, 9), axis=1, method=m), M) for m in METHODS],
    *[case(lambda x, m=m: np.nanquantile(x[:1], [0.1, 0.5], axis=1, method=m), N, grads=FLAT) for m in METHODS],
    case(lambda x: np.nanvar(x[:2, :2], axis=0), N, grads=FLAT),
    case(lambda x: np.nanvar(x, axis=1, ddof=1), N[:1], grads=FLAT),
    case(lambda x: np.nanstd(x, axis=1, keepdims=True), N[:1], grads=FLAT),
    case(lambda x: np.nanvar(x, axis=0, ddof=1), M),
    case(lambda x: np.nanstd(x), M),
    case(lambda x: np.nanargmax(x[:2], axis=1), N, grads=FLAT),
    case(lambda x: np.nanargmin(x), N, grads=FLAT),
    case(lambda x: np.nancumsum(x, axis=1), N[:1], grads=FLAT),
    case(lambda x: np.nancumprod(x), N[:1], grads=FLAT),
    case(lambda x: np.cov(x), M),
    case(lambda x, y: np.cov(x, y), V, W),
    case(lambda x: np.cov(x, rowvar=False, bias=True), M),
    case(lambda x: np.cov(x), V),
    case(lambda x: np.cov(x, fweights=[1, 2, 1, 3, 1, 1], aweights=[0.5, 1.0, 1.0, 0.2, 1.0, 2.0]), M),
    case(lambda x, w: np.cov(x, aweights=w, ddof=0), M, abs(V[:6])),
    case(lambda x: np.cov(x), K, grads=FLAT),
    case(lambda x: np.corrcoef(x), M),
    case(lambda x, y: np.corrcoef(x, y), V, W),
    case(lambda x, w: np.average(x, axis=0, weights=w), M, abs(V[:4])),
]

SEQUENCES = [
    case(lambda x: np.cumsum(x, axis=0), T),
    case(lambda x: np.cumsum(x, axis=-1, dtype=np.float32), K, grads=FLAT),
    case(lambda x: np.cumsum(x), U, grads=FLAT),
    case(lambda x: np.cumsum(x), K > 0, grads=FLAT),
    case(lambda x: np.cumsum(x), np.zeros((0, 3)), grads=FLAT),
    case(lambda x: np.cumprod(x), np.array([2.0, 0.0, 3.0, 0.0, 4.0])),
    case(lambda x: np.cumprod(x, axis=1), T),
    case(lambda x: np.cumprod(x), U[:8], grads=FLAT),
    case(lambda x: np.cumprod(x, axis=0), np.zeros((0, 3)), grads=FLAT),
    case(lambda x: np.cumulative_sum(x, axis=1, include_initial=True), M),
    case(lambda x: np.cumulative_prod(x, axis=0, include_initial=True), M),
    case(lambda x: np.diff(x, prepend=x[:, :1], append=2.0), M),
    case(lambda x: np.diff(x, n=3, axis=0), M),
    case(lambda x: np.diff(x, prepend=0), K, grads=FLAT),
    case(lambda x: np.interp(x, [-1.0, 0.0, 0.5, 2.0], [1.0, 3.0, -2.0, 4.0]), V),
    case(lambda x, fp: np.interp(x, [-1.0, 0.0, 2.0], fp, left=9.0, right=7.0), M, V[:3]),
    case(lambda x, xp, fp: np.interp(x, xp, fp), W, SORTED, V),
    case(lambda x: np.interp(x, [0.1, 1.3, 0.7], [1.0, 3.0, -2.0], period=2.0), M),
    case(lambda x: np.interp(x, [0.0, 1.0], [5.0, 6.0]), N, grads=FLAT),
    case(lambda x: np.interp(x, [0.0], [5.0]), V, grads=FLAT),
    case(lambda x: np.interp(x, [1, 2], [5, 6]), K, grads=FLAT),
    case(lambda a, v: np.convolve(a, v), V, W[:4]),
    case(lambda a, v: np.convolve(a, v, "same"), V, W[:4]),
    case(lambda a, v: np.convolve(a, v, "same"), W[:3], V),
    case(lambda a, v: np.convolve(a, v, "valid"), V, W[:3]),
    case(lambda a: np.convolve(a, [1, 2, 3]), K[0], grads=FLAT),
    case(lambda a, v: np.convolve(a, v), rng.normal(size=60), rng.normal(size=40)),
    case(lambda a, v: np.convolve(a, v, "same"), rng.normal(size=40), rng.normal(size=60)),
    *[case(lambda a, v, m=m: np.correlate(a, v, m), V, W[:k]) for m in ("valid", "same", "full") for k in (1, 4, 9)],
    *[case(lambda a, v, m=m: np.correlate(a, v, m), W[:k], V) for m in ("valid", "same", "full") for k in (1, 4)],
    case(lambda p, x: np.polyval(p, x), V[:4], M),
    case(lambda x: np.polyval([2, 0, -1], x), K, grads=FLAT),
    case(lambda x: np.vander(x, 4), V),
    case(lambda x: np.vander(x, increasing=True), K[0, :4], grads=FLAT),
    case(lambda x: np.unwrap(x), 5 * V),
    case(lambda x: np.unwrap(x, axis=0, period=1.5), M),
    case(lambda x: np.unwrap(x, discont=4.0), 5 * M),
    case(lambda x: np.unwrap(x, period=4), K, grads=FLAT),
    case(lambda x: np.unwrap(x, period=5), K, grads=FLAT),
    case(lambda x: np.gradient(x), V),
    case(lambda x: np.gradient(x, 0.5, edge_order=2), V),
    case(lambda x: np.gradient(x, 2.0, axis=1), M),
    case(lambda x: np.stack(np.gradient(x)), M),
    case(lambda x: np.gradient(x, 0.5, [0.0, 1.0, 1.5, 4.0, 4.5, 7.0])[1], M),
    case(lambda x, at: np.gradient(x, at, edge_order=2), V, SORTED),
    case(lambda x: np.gradient(x, np.arange(6), axis=-1), K, grads=FLAT),
    case(lambda x: np.choose([0, 2, 1, 0, 1, 2], [x[0], x[1], x[2]]), M),
    case(lambda x: np.choose(x, [10, 20, 30], mode="clip"), K, grads=FLAT),
    case(lambda x: np.choose(x, [10, 20, 30], mode="wrap"), K, grads=FLAT),
    case(lambda x: np.ptp(x, axis=1), U.reshape(4, 5), grads=FLAT),
]

FAMILIES = {"sorting": SORTING, "sets": SETS, "quantiles": QUANTILES, "sequences": SEQUENCES}
ALL = [c for cases in FAMILIES.values() for c in cases]


def plain(function, args):
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's, about slices of NaN only
        return function(*args)


@pytest.mark.parametrize(("function", "args", "grads"), ALL)
def test_recorded_is_what_numpy_gives(function, args, grads):
    assert_same(reference(function, *args), plain(function, args), limit=16, scale=32)


@pytest.mark.parametrize("family", FAMILIES)
def test_compiled_is_what_numpy_gives(family):
    cases = [c.values for c in FAMILIES[family]]

    def everything(all_args):
        return [f(*args) for (f, _, _), args in zip(cases, all_args, strict=True)]
    out = runtime.jit(everything)([args for _, args, _ in cases])
    for (function, args, _), result in zip(cases, out, strict=True):
        what = f"line {function.__code__.co_firstlineno}"
        assert_same(result, plain(function, args), limit=16, scale=64, what=what)


@pytest.mark.parametrize(("function", "args", "grads"), [c for c in ALL if c.values[2]])
def test_derivatives(function, args, grads):
    check_grads(function, args, order=2)


@pytest.mark.parametrize("family", FAMILIES)
def test_compiled_derivatives(family):
    cases = [c.values for c in FAMILIES[family] if c.values[2]]

    def everything(all_args):
        out = []
        for (f, _, _), args in zip(cases, all_args, strict=True):
            def weighted(*x, f=f):
                y = f(*x)
                return np.sum(y * np.cos(np.arange(np.size(y))).reshape(np.shape(y)))
            out.append(grad_all(weighted, args))
        return out
    args = [args for _, args, _ in cases]
    if not cases:
        return
    for (f, _, _), compiled, wanted in zip(cases, runtime.jit(everything)(args), everything(args), strict=True):
        for c, w in zip(compiled, wanted, strict=True):
            assert_same(c, w, limit=256, scale=256, what=f"line {f.__code__.co_firstlineno}")


def grad_all(f, args):
    return grad(f, argnums=tuple(range(len(args))))(*args)


# ---------------------------------------------------------------- what NumPy lacks


@pytest.mark.parametrize("dtype", [*FLOATS, *INTS, *UNSIGNED, "bool"])
def test_descending(dtype):
    for shape, axis in (((0,), 0), ((1,), 0), ((17,), 0), ((3, 33), 1), ((33, 3), 0), ((2, 5, 3), 1)):
        x = draw(rng, shape, dtype)
        if dtype in FLOATS:
            x = np.round(x)  # many equal elements, zeros of both signs
        f = lambda x, axis=axis: (cnp.sort(x, axis=axis, descending=True), cnp.argsort(x, axis=axis, descending=True))
        values, order = f(x)
        assert_same(values, np.flip(np.sort(x, axis=axis), axis))
        n = shape[axis]
        assert_same(order, n - 1 - np.flip(np.argsort(np.flip(x, axis), axis=axis, stable=True), axis))
        for run in (runtime.jit(f), lambda x, f=f: reference(f, x)):
            assert_same(run(x)[0], values)
            assert_same(run(x)[1], order)


def test_nan_counts_as_the_largest():
    x = np.array([2.0, np.nan, -np.inf, np.inf, -np.nan, 0.0])
    for run in (lambda f: f, runtime.jit):
        assert_same(run(lambda x: cnp.sort(x))(x), [-np.inf, 0.0, 2.0, np.inf, np.nan, np.nan])
        assert_same(run(lambda x: cnp.sort(x, descending=True))(x), [np.nan, np.nan, np.inf, 2.0, 0.0, -np.inf])
        assert_same(run(lambda x: cnp.argsort(x))(x), np.array([2, 5, 0, 3, 1, 4]))
        assert_same(run(lambda x: cnp.argsort(x, descending=True))(x), np.array([1, 4, 3, 0, 5, 2]))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint64", "bool"])
def test_long_rows(dtype):
    def f(x):
        return np.sort(x), np.argsort(x, stable=True), cnp.argsort(x, descending=True)
    for n in (63, 64, 65, 255, 1000, 4097, 20_000):
        x = (100 * draw(rng, n, dtype)).astype(dtype)
        out = runtime.jit(f)(x)
        assert_same(out[0], np.sort(x))
        assert_same(out[1], np.argsort(x, stable=True))
        assert_same(out[2], n - 1 - np.argsort(x[::-1], stable=True)[::-1])
    for x in (np.arange(3000.0), -np.arange(3000.0), np.zeros(3000)):
        assert_same(runtime.jit(f)(x)[1], np.argsort(x, stable=True))


def test_sorting_within_a_scan():
    def total(rows):
        carry, out = cr.scan(lambda c, row: (c + np.sort(row), np.argsort(row)), np.zeros(9), rows)
        return carry, out
    rows = rng.normal(size=(5, 9))
    carry, out = runtime.jit(total)(rows)
    assert_same(carry, np.sort(rows).sum(0), limit=16, scale=8)
    assert_same(out, np.argsort(rows))


SIZED = {
    "flatnonzero": lambda x: cnp.flatnonzero(x, size=5, fill_value=-1),
    "nonzero": lambda x: cnp.nonzero(x.reshape(3, -1), size=4, fill_value=7),
    "argwhere": lambda x: cnp.argwhere(x.reshape(3, -1), size=15, fill_value=-2),
    "unique": lambda x: cnp.unique(x, True, True, True, size=4),
    "unique_few": lambda x: cnp.unique(x, size=2),
    "unique_many": lambda x: cnp.unique(x, return_counts=True, size=20, fill_value=1),
    "unique_all": lambda x: tuple(cnp.unique_all(x, size=6)),
    "unique_counts": lambda x: tuple(cnp.unique_counts(x, size=6)),
    "unique_inverse": lambda x: tuple(cnp.unique_inverse(x, size=12)),
    "unique_values": lambda x: cnp.unique_values(x, size=6),
}


@pytest.mark.parametrize("name", SIZED)
def test_results_of_a_given_size(name):
    f = SIZED[name]
    for x in (U[:12], K.reshape(-1)[:12], np.round(W[:9]), np.zeros(9), np.ones(3, bool),
              np.array([np.nan, 1.0, np.nan])):
        expected = f(x)
        for out in (runtime.jit(f)(x), reference(f, x)):
            for o, e in zip(out if isinstance(out, tuple) else (out,),
                            expected if isinstance(expected, tuple) else (expected,), strict=True):
                assert_same(o, e, what=f"{name} {x}")


def test_sets_without_a_size_are_numpys():
    assert_same(cnp.unique_values(K), np.unique(K))  # NumPy's own leaves them in any order
    for name in ("unique_all", "unique_counts", "unique_inverse", "nonzero", "flatnonzero", "argwhere"):
        for o, e in zip(getattr(cnp, name)(K), getattr(np, name)(K), strict=True):
            assert_same(o, e)
    for o, e in zip(cnp.unique(K, True, True, True), np.unique(K, True, True, True), strict=True):
        assert_same(o, e)
    assert_same(cnp.unique(K, axis=0), np.unique(K, axis=0))
    assert_same(cnp.bincount(U), np.bincount(U))


def test_bincount_of_a_given_length():
    f = lambda x: cnp.bincount(x, length=4)
    for x in (U, U.astype(np.int64), np.array([-3, 0, 2, 2, 99])):
        expected = np.bincount(x[(x >= 0) & (x < 4)], minlength=4)
        assert_same(f(x), expected)
        assert_same(runtime.jit(f)(x), expected)
    check_grads(lambda w: cnp.bincount(U, w, length=3), (rng.normal(size=20),))


# ---------------------------------------------------------------- positions and extremes of every dtype


@pytest.mark.parametrize("dtype", [*FLOATS, *INTS, *UNSIGNED, "bool"])
def test_extremes_of_every_dtype(dtype):
    x = draw(rng, (4, 7), dtype)
    if dtype in INTS + UNSIGNED:
        x[0, :3], x[1, 2:4] = np.iinfo(dtype).max, np.iinfo(dtype).min  # ties at the ends of the range
    functions = [np.max, np.min, np.argmax, np.argmin, np.count_nonzero, np.any, np.all]
    functions += [np.ptp] if dtype != "bool" else []
    for function in functions:
        for axis in (None, 0, 1):
            f = lambda x, function=function, axis=axis: function(x, axis=axis)
            for run in (runtime.jit(f), lambda x, f=f: reference(f, x)):
                assert_same(run(x), f(x), what=f"{function.__name__} {dtype} {axis}")
    assert_same(runtime.jit(lambda x: np.maximum.accumulate(x, axis=1))(x), np.maximum.accumulate(x, axis=1))


# ---------------------------------------------------------------- batching


def looped(op, args, batched, size, **params):
    rows = [op(*(a[i] if b else a for a, b in zip(args, batched, strict=True)), **params) for i in range(size)]
    return np.stack(rows)


X = rng.normal(size=(3, 2, 5))
BATCHED = [
    ("sort", (X,), (True,), {"descending": False}),
    ("argsort", (X,), (True,), {"descending": True}),
    ("cumsum", (X,), (True,), {"axis": 1, "reverse": True}),
    ("recurrence", (X, X[0]), (True, False), {"axis": 0, "reverse": False}),
    ("recurrence", (X[0], X), (False, True), {"axis": 1, "reverse": True}),
    ("search", (np.sort(V), X), (False, True), {"right": True}),
    ("search", (np.sort(X[:, 0]), W[:4]), (True, False), {"right": False}),
    ("search", (np.sort(X[:, 0]), X), (True, True), {"right": False}),
    ("search", (np.sort(X), X), (True, True), {"right": False}),
    ("search", (np.sort(X[0]), X), (False, True), {"right": False}),
    ("scatter", (X, np.array([3, 0, 3, 9, 1])), (True, False), {"axis": 1, "extent": 4, "combine": "mul"}),
    ("scatter", (X[0], rng.integers(-1, 5, (3, 5))), (False, True), {"axis": 1, "extent": 4, "combine": "max"}),
    ("take", (rng.normal(size=(3, 90)), rng.integers(0, 90, (3, 4), dtype=np.uint8)), (True, True), {"axis": 0}),
    ("scatter_add", (X, rng.integers(-1, 70, (3, 2), dtype=np.int8)), (True, True), {"axis": 0, "extent": 70}),
    ("scatter", (X, rng.integers(0, 4, (3, 2), dtype=np.uint8)), (True, True),
     {"axis": 0, "extent": 4, "combine": "min"}),
    ("scatter", (rng.normal(size=(3, 2, 4, 3, 5)), rng.integers(0, 6, (3, 4, 3))), (True, True),
     {"axis": 1, "extent": 6, "combine": "mul"}),
]


@pytest.mark.parametrize(("name", "args", "batched", "params"), BATCHED)
def test_batch_rules_are_loops(name, args, batched, params):
    op = REGISTRY[name]
    expected = looped(op, args, batched, 3, **params)
    assert_same(op.batch(args, batched, 3, **params), expected)
    assert_same(runtime.jit(lambda *a: op.batch(a, batched, 3, **params))(*args), expected)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(("function", "error", "message"), [
    (lambda x: np.unique(x), ChainruleTypeError, r"np\.unique\(x\) depends on the values.*\n.*\n.*size=n"),
    (lambda x: np.unique_values(x), ChainruleTypeError, r"unique_values\(x, size=n\)"),
    (lambda x: np.nonzero(x), ChainruleTypeError, r"nonzero\(x, size=n\)"),
    (lambda x: np.argwhere(x), ChainruleTypeError, r"argwhere\(x, size=n\)"),
    (lambda x: np.flatnonzero(x), ChainruleTypeError, r"flatnonzero\(x, size=n\)"),
    (lambda x: np.union1d(x, x), ChainruleTypeError, r"np\.union1d"),
    (lambda x: np.extract(x > 0, x), ChainruleTypeError, r"np\.extract"),
    (lambda x: np.bincount(x[0].astype(int)), ChainruleTypeError, r"bincount\(x, length=n\)"),
    (lambda x: np.histogram(x, bins="auto"), ArgumentError, "bins='auto'"),
    (lambda x: np.histogram(x, bins=[2.0, 1.0]), ArgumentError, "do not ascend"),
    (lambda x: np.histogram(x, range=(2, 1)), ArgumentError, r"range=\(1, 2\)"),
    (lambda x: np.sort(x, order="name"), ArgumentError, "order='name'"),
    (lambda x: np.sort(x[0, 0]), np.exceptions.AxisError, "axis -1"),
    (lambda x: np.partition(x, 6), ArgumentError, "kth=6"),
    (lambda x: np.searchsorted(x, 1.0), ShapeError, "sorted vector"),
    (lambda x: np.searchsorted(x[0], 1.0, side="middle"), ArgumentError, "side='middle'"),
    (lambda x: np.digitize(x, [1.0, 3.0, 2.0]), ArgumentError, "neither ascend"),
    (lambda x: np.quantile(x, 1.5), ArgumentError, "0 to 1"),
    (lambda x: np.quantile(x, 0.5, method="middle"), ArgumentError, "unknown method"),
    (lambda x: np.quantile(x[:0], 0.5), ShapeError, "no elements"),
    (lambda x: np.convolve(x, x), ShapeError, "a vector"),
    (lambda x: np.convolve(x[0], x[1], "whole"), ArgumentError, "unknown mode"),
    (lambda x: np.interp(1.0, x[0], x[1, :2]), ShapeError, "6 positions and 2 values"),
    (lambda x: np.gradient(x[:1]), ShapeError, "extent of 2"),
    (lambda x: np.choose(3, [x, x]), ArgumentError, "beyond the choices"),
])
def test_errors_say_what_fits(function, error, message):
    with pytest.raises(error, match=f"(?i){message}"):
        trace(function, M)


def test_tracers_have_the_methods():
    trace(lambda x: [x.argsort(), x.argpartition(1), x.ptp(), x[0].searchsorted(0.0)], M)
