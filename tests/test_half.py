"""Functions of half types: the result is the half type's, near what float32 gives, compiled as plainly."""

import numpy as np
import pytest
from samples import HALF
from support import reference

import chainrule as cr
from chainrule import dtypes, nn, random
from chainrule import numpy as cnp
from chainrule.autodiff import vjp
from chainrule.compiler.accounts import traffic_of
from chainrule.compiler.interpret import interpret
from chainrule.compiler.pipeline import build
from chainrule.errors import ChainruleTypeError
from chainrule.trace import record

half = pytest.mark.parametrize("dtype", HALF)
TWICE = np.array([0, 2, 2])
FUNCTIONS = {
    "sort": lambda x: np.sort(x), "cumsum": lambda x: np.cumsum(x, axis=1), "cumprod": lambda x: np.cumprod(x, axis=1),
    "median": lambda x: np.median(x, axis=1), "nanmedian": lambda x: np.nanmedian(x, axis=0),
    "quantile": lambda x: np.quantile(x, 0.3, axis=1), "percentile": lambda x: np.percentile(x, 30),
    "nanquantile": lambda x: np.nanquantile(x, 0.3, axis=1), "var": lambda x: np.var(x + 4, axis=1),
    "std": lambda x: np.std(x, axis=0, ddof=1), "interp": lambda x: np.interp(x, np.arange(3), np.arange(3) ** 2),
    "convolve": lambda x: np.convolve(x[0], x[1, :3]), "long": lambda x: np.convolve(x.reshape(-1), x.reshape(-1)),
    "polyval": lambda x: np.polyval(x[0, :3], x[1]), "gradient": lambda x: np.gradient(x, 0.5, axis=1, edge_order=2),
    "edges": lambda x: np.histogram_bin_edges(x, 5), "density": lambda x: np.histogram(
        np.round(x * 2), 8, (-4.5, 4.5), density=True)[0], "cov": lambda x: np.cov(x),
    "values": lambda x: cnp.unique(np.round(x), size=6), "norm": lambda x: np.linalg.norm(x, axis=1),
    **{f"at.{name}": lambda x, name=name: getattr(cr.at(x)[TWICE], name)(2.5) for name in
       "set add subtract multiply divide min max".split()},
    "at slice": lambda x: cr.at(x)[1:, ::2].add(x[:-1, ::2]), "at mask": lambda x: cr.at(x)[x > 0].multiply(2),
    "put": lambda x: cnp.put_along_axis(x, np.argsort(x, 1)[:, :2], 7.0, 1),
    "conv": lambda x: nn.conv(_image(x), np.cos(np.arange(36)).astype(x.dtype).reshape(3, 3, 1, 4), padding="same"),
    "depthwise": lambda x: nn.conv(x.reshape(2, 10, 4), x.reshape(-1)[:12].reshape(3, 1, 4), groups=4),
    "conv_transpose": lambda x: nn.conv_transpose(_image(x), x[:3, :3].reshape(3, 3, 1, 1), stride=2),
    "avg_pool": lambda x: nn.avg_pool(_image(x), 2), "padded": lambda x: nn.avg_pool(_image(x), 3, 1, "same"),
    "max_pool": lambda x: nn.max_pool(_image(x), 3, padding="same"),
    "layer_norm": lambda x: nn.layer_norm(x + 4, x[0], x[1]), "rms_norm": lambda x: nn.rms_norm(x),
    "group_norm": lambda x: nn.group_norm(x, 2), "moments": lambda x: nn.moments(x + 4, 0)[1],
    "batch_norm": lambda x: nn.batch_norm(x + 4, *nn.moments(x + 4, 0)),
    "attention": lambda x: nn.dot_product_attention(*[x.reshape(2, 5, 2, 4)] * 3, causal=True),
    "dropout": lambda x: nn.dropout(random.key(1), x, 0.5), "elu": lambda x: nn.elu(x, x[0, 0] + 2)}


def _image(x):
    return x.reshape(2, 5, 8, 1)


def _given(dtype):
    return np.random.default_rng(3).uniform(-2, 2, (10, 8)).astype(dtype)


def _near(found, wanted, dtype, many=8):
    assert found.dtype == (dtype if wanted.dtype == np.float32 else wanted.dtype)
    wanted = wanted.astype(np.float64)
    np.testing.assert_allclose(found.astype(np.float64), wanted, rtol=0,
                               atol=many * dtypes.finfo(np.dtype(dtype)).eps * max(1, np.abs(wanted).max()))


@half
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_near_those_of_float32(name, dtype):
    x, function = _given(dtype), FUNCTIONS[name]
    wanted, compiled = cr.jit(function)(x.astype(np.float32)), cr.jit(function)(x)
    _near(compiled, wanted, dtype)
    _near(reference(function, x), wanted, dtype)
    if wanted.dtype == np.float32 and name not in ("edges", "density"):
        def loss(x):
            return np.sum(np.sin(function(x)))
        exact = cr.grad(loss)(x.astype(np.float32))
        assert cr.grad(loss)(x).dtype == dtype
        _near(cr.jit(cr.grad(loss))(x), exact, dtype, 48)


@half
def test_order_is_exact_and_nan_is_last(dtype):
    x = np.array([3, np.nan, 1, -np.inf, -0.0, np.nan, 0.0, 2, np.inf], dtype)
    for sort in (cnp.sort, cr.jit(np.sort), lambda x: vjp(np.sort, x)[0]):
        out = sort(x)
        assert out.dtype == dtype
        np.testing.assert_array_equal(out.astype(np.float32), np.sort(x.astype(np.float32)))
    for find in (cnp.argsort, cr.jit(np.argsort)):
        np.testing.assert_array_equal(find(x), np.argsort(x.astype(np.float32), kind="stable"))
    row = cnp.sort(x)
    for run in (reference, lambda f, *args: cr.jit(f)(*args)):
        np.testing.assert_array_equal(run(np.searchsorted, row, x), np.searchsorted(np.sort(x.astype(np.float32)),
                                                                    x.astype(np.float32)))
    for size in (None, 7):
        np.testing.assert_array_equal(cnp.unique(x, size=size).astype(np.float32), np.unique(x.astype(np.float32)))
    np.testing.assert_array_equal(cr.jit(lambda x: cnp.unique(x, size=7))(x).astype(np.float32),
                                  cnp.unique(x, size=7).astype(np.float32))


@half
def test_sums_round_once(dtype):
    ones = np.ones(3000, dtype)
    wide = np.arange(1, 3001, dtype=np.float32).astype(dtype)
    np.testing.assert_array_equal(cr.jit(np.cumsum)(ones), wide)
    np.testing.assert_array_equal(reference(np.cumsum, ones), wide)
    assert float(cr.jit(np.median)(np.full(4, 60000, dtype))) == float(np.asarray(60000, dtype))  # not infinity
    row = (np.arange(5000) % 100).astype(dtype)
    assert float(cr.jit(lambda x: np.quantile(x, 0.25, method="lower"))(row)) == 24  # positions beyond 2¹¹
    image = np.ones((1, 50, 50, 1), dtype)
    assert cr.jit(lambda x: nn.conv(x, x.reshape(50, 50, 1, 1)))(image).item() == float(np.asarray(2500, dtype))
    assert nn.avg_pool(image, 50).item() == 1
    assert nn.layer_norm(ones).dtype == nn.rms_norm(ones).dtype == nn.moments(ones)[0].dtype == dtype


# ---------------------------------------------------------------- contractions read half numbers where they lie


def _whole(dtype, *shape):
    """Whole numbers so small that every sum of products is exact, in whatever order."""
    return np.random.default_rng(sum(shape)).integers(-4, 5, shape).astype(dtype)


def _dense(x, w, b):
    return np.maximum(x @ w + b, 0) * 0.5


def _wide_result(x, w):
    return x.astype(np.float32) @ w.astype(np.float32)


CONTRACTIONS = {
    **{f"{kind} {m}×{k}×{n}": (lambda a, b, kind=kind: (a.T if kind[0] == "T" else a) @ (b.T if kind[1] == "T" else b),
                               (m, k) if kind[0] == "N" else (k, m), (k, n) if kind[1] == "N" else (n, k))
       for kind in ("NN", "TN", "NT", "TT") for m, k, n in [(7, 33, 17), (1, 70, 5), (50, 70, 60), (3, 1, 2)]},
    "vectors": (np.dot, (77,), (77,)), "matrix · vector": (np.dot, (17, 77), (77,)),
    "vector · matrix": (np.dot, (33,), (33, 19)), "batched": (np.matmul, (3, 5, 7), (3, 7, 9)),
    "shared": (np.matmul, (3, 5, 7), (7, 9)), "outer": (np.outer, (5,), (9,)),
    "einsum": (lambda a, b: np.einsum("bqhd,bkhd->bhqk", a, b), (2, 5, 3, 4), (2, 6, 3, 4)),
    "with itself": (lambda a, b: a @ a.T + b @ b.T, (6, 9), (6, 4)),
    "moved": (lambda a, b: np.pad(np.concatenate([a, a[::-1]]), 1) @ b.reshape(11, 4)[:, ::-1], (5, 9), (4, 11)),
    "taken": (lambda a, b: np.take(a, TWICE, axis=0) @ b, (5, 9), (9, 4)),
    "fused": (lambda a, b: _dense(a, b, b[0]), (6, 9), (9, 12)), "wide": (_wide_result, (6, 9), (9, 12)),
    "one wide": (lambda a, b: a.astype(np.float32) @ (b.astype(np.float32) * 1.5), (6, 9), (9, 12)),
    "conv": (lambda x, k: nn.conv(x, k, padding="same"), (2, 9, 8, 3), (3, 3, 3, 5)),
    "strided": (lambda x, k: nn.conv(x, k, 2, dilation=2), (2, 9, 12, 2), (3, 2, 2, 5)),
    "groups": (lambda x, k: nn.conv(x, k, groups=2), (2, 7, 8), (3, 4, 6)),
    "conv_transpose": (lambda x, k: nn.conv_transpose(x, k, 2), (2, 4, 3, 2), (3, 3, 5, 2)),
    "scan": (lambda x, k: cr.scan(lambda c, row: (np.clip(row @ k - c, -3, 3), c), k[0] * 0, x)[0], (4, 6), (6, 6))}


@half
@pytest.mark.parametrize("name", CONTRACTIONS)
def test_contractions_and_their_gradients_are_those_of_the_reference(name, dtype):
    function, *shapes = CONTRACTIONS[name]
    a, b = (_whole(dtype, *shape) for shape in shapes)

    def everything(a, b):
        out, pull = vjp(function, a, b)
        return out, *pull(np.ones_like(out))
    expected = reference(everything, a, b)
    for out, wanted in zip(cr.jit(everything)(a, b), expected, strict=True):
        assert out.dtype == wanted.dtype
        np.testing.assert_array_equal(out.astype(np.float64), wanted.astype(np.float64))
    graph, _ = record(everything, (a, b))
    for out, wanted in zip(interpret(build(graph), [a, b]), expected, strict=True):
        np.testing.assert_array_equal(out.astype(np.float64), wanted.astype(np.float64).reshape(-1))


@half
def test_contractions_make_no_float32_copies(dtype):
    x, w, image, kernel = (_whole(dtype, *shape) for shape in ((64, 300), (300, 80), (2, 12, 12, 8), (3, 3, 8, 16)))

    def network(x, w):
        return np.sum(np.maximum(x @ w, 0) @ w.T)

    def images(x, k):
        return np.sum(nn.conv_transpose(nn.conv(x, k, 2, "same"), k + 1, 2) ** 2)
    cases = (np.matmul, x, w), (cr.grad(network, (0, 1)), x, w), (cr.grad(images, (0, 1)), image, kernel)
    for function, *args in cases:
        assert all(b.dtype == dtype or b.size == 1 for b in build(record(function, args)[0]).temps)
    jitted = cr.jit(np.matmul)
    assert jitted.memory(x, w).arena == 0
    moved = traffic_of(build(cr.trace(np.matmul, x, w)), cr.trace(np.matmul, x, w).cost()).total
    assert (moved.loaded, moved.stored) == (x.nbytes + w.nbytes, 2 * 64 * 80)


@half
@pytest.mark.parametrize("name", "solve inv det slogdet cholesky qr eigh svd pinv lstsq matrix_rank cond".split())
def test_linear_algebra_says_to_convert(name, dtype):
    a = np.eye(3, dtype=dtype)
    more = (a[0],) if name in ("solve", "lstsq") else ()
    with pytest.raises(ChainruleTypeError, match=rf"(?s)np\.linalg\.{name}|{dtype}.*x\.astype\(np\.float32\)"):
        cr.jit(getattr(np.linalg, name))(a, *more)


@half
def test_what_is_drawn_has_the_dtype(dtype):
    key = random.key(4)
    for draw in (random.normal, random.uniform, random.gumbel, random.exponential):
        plain, compiled = draw(key, (2000,), dtype), cr.jit(lambda k, draw=draw: draw(k, (2000,), dtype))(key)
        assert plain.dtype == compiled.dtype == dtype
        np.testing.assert_allclose(plain.astype(float), compiled.astype(float), rtol=2 ** -7)
    assert float(np.max(random.uniform(key, (200000,), dtype).astype(float))) < 1
    assert cr.jit(random.permutation)(key, np.arange(9).astype(dtype)).dtype == dtype


@half
def test_bounds_and_weights_by_half_numbers(dtype):
    x = _given(dtype).reshape(-1)
    counts, edges = cr.jit(lambda x: np.histogram(x, 6))(x)
    wide_counts, wide_edges = np.histogram(x.astype(np.float64), edges.astype(np.float64))
    np.testing.assert_array_equal(counts, wide_counts)
    assert edges.dtype == dtype and wide_edges.shape == (7,)
    assert cr.jit(np.quantile)(x, np.array([0.25, 0.5], dtype)).dtype == dtype
    assert cr.jit(np.quantile)(x, np.float32(0.25)).dtype == np.float32


WEAK = {
    "at": lambda x, v: cr.at(x)[1:3].add(v), "at many": lambda x, v: cr.at(x)[TWICE].multiply(v),
    "quantile": lambda x, v: np.quantile(x, v / 4), "percentile": lambda x, v: np.percentile(x, v),
    "gradient": lambda x, v: np.gradient(x, v), "polyval": lambda x, v: np.polyval(x, v),
    "elu": lambda x, v: nn.elu(x, v), "leaky_relu": lambda x, v: nn.leaky_relu(x, v)}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", WEAK)
def test_traced_python_numbers_give_way(name, dtype):
    x = np.linspace(-1, 1, 6).astype(dtype)
    plain, compiled = WEAK[name](x, 2.0), cr.jit(WEAK[name])(x, 2.0)
    assert np.asarray(plain).dtype == compiled.dtype
    np.testing.assert_allclose(compiled, plain, rtol=0, atol=16 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", *HALF])
def test_python_numbers_update_arrays_of_any_width(dtype):
    x = np.arange(4).astype(dtype)
    for name in "set add multiply min max".split():
        out = cr.jit(lambda x, v, name=name: getattr(cr.at(x)[1:3], name)(v))(x, 2)
        assert out.dtype == dtype
        np.testing.assert_array_equal(out, getattr(cr.at(x)[1:3], name)(2))


def test_updates_of_real_arrays_refuse_complex_numbers():
    for x in (np.ones(3), np.ones(3, np.float16)):
        with pytest.raises(ChainruleTypeError, match="complex128 into an array of"):
            cr.at(x)[0].set(1j)
