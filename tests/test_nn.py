"""Functions of neural networks: against loops written out, compiled, and their derivatives."""

import itertools

import numpy as np
import pytest
from support import assert_same, reference

import chainrule as cr
from chainrule import nn, random
from chainrule.check import check_grads
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError
from chainrule.ops.windows import windows
from chainrule.runtime import jit

RNG = np.random.default_rng(4)


def numbers(*shape):
    return RNG.normal(size=shape)


# ---------------------------------------------------------------- windows, written out


def sides(padding, n, k, s, d):
    """Zeros before and after an axis, as TensorFlow and Keras define them."""
    if padding == "valid":
        return 0, 0
    if padding == "causal":
        return (k - 1) * d, 0
    if padding == "same":
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        return total // 2, total - total // 2
    return padding if isinstance(padding, tuple) else (padding, padding)


def padded(x, kernel, stride, padding, dilation, value):
    """The input with its padding, one axis after the other."""
    pads = [(0, 0)]
    for i, k in enumerate(kernel):
        one = padding[i] if isinstance(padding, list) else padding
        pads.append(sides(one, x.shape[1 + i], k, stride[i], dilation[i]))
    return np.pad(x, [*pads, (0, 0)], constant_values=value)


def at_windows(x, window, stride, dilation):
    """(position of the result, the elements seen there: (batch, *window, channels)) for every window."""
    counts = [(n - (k - 1) * d - 1) // s + 1
              for n, k, s, d in zip(x.shape[1:-1], window, stride, dilation, strict=True)]
    for place in itertools.product(*map(range, counts)):
        cut = tuple(slice(p * s, p * s + (k - 1) * d + 1, d)
                    for p, s, k, d in zip(place, stride, window, dilation, strict=True))
        yield place, x[(slice(None), *cut)]


def convolved(x, kernel, stride, padding, dilation, groups):
    n = x.ndim - 2
    stride, dilation = (v if isinstance(v, tuple) else (v,) * n for v in (stride, dilation))
    x = padded(x, kernel.shape[:n], stride, padding, dilation, 0.0)
    results = {}
    inner, outer = kernel.shape[-2], kernel.shape[-1] // groups
    for place, seen in at_windows(x, kernel.shape[:n], stride, dilation):
        for out in range(kernel.shape[-1]):
            group = out // outer
            part = seen[..., group * inner:(group + 1) * inner]
            results[(*place, out)] = np.sum(part * kernel[..., out], axis=tuple(range(1, n + 2)))
    shape = np.max(list(results), axis=0) + 1
    out = np.empty((len(x), *shape))
    for place, value in results.items():
        out[(slice(None), *place)] = value
    return out


CONVOLUTIONS = [  # spatial extents, channels, kernel, stride, padding, dilation, groups
    ((7,), (2, 3), (3,), 1, "valid", 1, 1),
    ((7,), (2, 3), (3,), 2, "causal", 2, 1),
    ((8,), (4, 6), (2,), 3, [(2, 1)], 1, 2),
    ((6, 7), (3, 4), (3, 2), 1, "same", 1, 1),
    ((6, 7), (3, 4), (3, 2), (2, 3), "same", 1, 1),
    ((6, 7), (4, 4), (3, 3), 2, 1, 1, 4),
    ((6, 7), (2, 6), (2, 3), 1, "valid", (2, 1), 2),
    ((7, 7), (3, 4), (1, 1), 2, "valid", 1, 1),
    ((4, 5, 3), (2, 2), (2, 3, 2), (1, 2, 1), [1, (0, 2), 0], 1, 1),
]


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_conv(case):
    extents, (inside, outside), window, stride, padding, dilation, groups = case
    x, kernel = numbers(2, *extents, inside), numbers(*window, inside // groups, outside)

    def f(x, kernel):
        return nn.conv(x, kernel, stride, padding, dilation, groups)
    expected = convolved(x, kernel, stride, padding, dilation, groups)
    np.testing.assert_allclose(f(x, kernel), expected, atol=1e-12)
    assert_same(jit(f)(x, kernel), reference(f, x, kernel), limit=64, scale=16)
    first = nn.conv(np.moveaxis(x, -1, 1), kernel, stride, padding, dilation, groups, data_format="channels_first")
    np.testing.assert_allclose(first, np.moveaxis(expected, -1, 1), atol=1e-12)
    assert f(x.astype(np.float32), kernel.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("case", CONVOLUTIONS[1:6], ids=str)
def test_derivatives_of_conv(case):
    extents, (inside, outside), window, stride, padding, dilation, groups = case
    x, kernel = numbers(1, *extents, inside), numbers(*window, inside // groups, outside)
    check_grads(lambda x, kernel: nn.conv(x, kernel, stride, padding, dilation, groups), (x, kernel))


@pytest.mark.parametrize("padding", ["valid", "same", 1, [(1, 0), 1]], ids=str)
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (4, 1), (1, 2), ((2, 3), 1)])
def test_conv_transpose_is_the_transpose(padding, stride, dilation):
    y, kernel = numbers(2, 3, 4, 5), numbers(3, 2, 2, 5)
    out = nn.conv_transpose(y, kernel, stride, padding, dilation)
    back, pull = cr.vjp(lambda x: nn.conv(x, kernel, stride, padding, dilation), np.zeros(out.shape))
    assert back.shape == y.shape
    np.testing.assert_allclose(out, pull(y)[0], atol=1e-12)
    if padding == "same":
        assert out.shape[1:3] == tuple(n * s for n, s in zip((3, 4), np.broadcast_to(stride, 2), strict=True))
    first = nn.conv_transpose(np.moveaxis(y, -1, 1), kernel, stride, padding, dilation, data_format="channels_first")
    np.testing.assert_allclose(first, np.moveaxis(out, -1, 1), atol=1e-12)


def test_conv_transpose_options():
    y, kernel = numbers(1, 4, 2), numbers(3, 3, 2)
    assert [nn.conv_transpose(y, kernel, 2, p, output_padding=m).shape[1] for p, m in (
        ("valid", 0), ("valid", 1), ("same", 0), ("same", 1), (1, 1))] == [9, 10, 7, 8, 8]  # as in Keras
    assert_same(jit(lambda y: nn.conv_transpose(y, kernel, 2, "same"))(y), nn.conv_transpose(y, kernel, 2, "same"),
                scale=16)
    check_grads(lambda y, k: nn.conv_transpose(y, k, 2, "same"), (y, kernel))


POOLS = [  # spatial extents, window, stride, padding
    ((7,), (2,), (2,), "valid"), ((7,), (3,), (2,), "same"), ((5, 6), (2, 3), (1, 2), "same"),
    ((5, 6), (2, 2), (2, 2), "valid"), ((5, 6), (3, 3), (2, 2), 1), ((3, 4, 5), (2, 2, 2), (2, 1, 2), "same"),
]


@pytest.mark.parametrize("case", POOLS, ids=str)
def test_pools(case):
    extents, window, stride, padding = case
    x = numbers(2, *extents, 3)
    ones = (1,) * len(extents)
    for pool, fill, combine in ((nn.max_pool, -np.inf, np.max), (nn.avg_pool, np.nan, np.nanmean)):
        def f(x, pool=pool):
            return pool(x, window, stride, padding)
        out = f(x)
        places = dict(at_windows(padded(x, window, stride, padding, ones, fill), window, stride, ones))
        assert out.shape[1:-1] == tuple(np.max(list(places), axis=0) + 1)
        for place, seen in places.items():
            np.testing.assert_allclose(out[(slice(None), *place)], combine(seen, axis=tuple(range(1, x.ndim - 1))))
        assert_same(jit(f)(x), out, scale=4)
        first = pool(np.moveaxis(x, -1, 1), window, stride, padding, data_format="channels_first")
        np.testing.assert_array_equal(first, np.moveaxis(out, -1, 1))
        check_grads(f, (x[:1, ..., :1],))
    assert nn.max_pool(x.astype(np.float32), window).dtype == np.float32


def test_max_pool_ties_and_whole_numbers():
    ties = cr.grad(lambda x: np.sum(nn.max_pool(x, 2)))(np.zeros((1, 2, 2, 1)))
    assert (ties == 0.25).all()
    three = cr.grad(lambda x: np.sum(nn.max_pool(x, 3)))(np.ones((1, 3, 1)))
    np.testing.assert_allclose(three.ravel(), 1 / 3)
    whole = nn.max_pool(np.array([-5, -7, -2]).reshape(1, 3, 1), 2, padding="same")
    assert whole.ravel().tolist() == [-5, -2] and whole.dtype == np.int64


@pytest.mark.parametrize("pool", [nn.max_pool, nn.avg_pool])
@pytest.mark.parametrize("case", [*POOLS, ((9, 8), (3, 4), (1, 3), "valid"), ((9,), (4,), (3,), [(2, 0)])], ids=str)
def test_gradients_of_pools_whose_windows_overlap(case, pool):
    extents, window, stride, padding = case
    x = np.round(numbers(2, *extents, 3))  # many equal elements
    back = numbers(*pool(x, window, stride, padding).shape)

    def pulled(x, back):
        return cr.vjp(lambda x: pool(x, window, stride, padding), x)[1](back)[0]
    assert_same(jit(pulled)(x, back), pulled(x, back), scale=16)


@pytest.mark.parametrize(("extent", "window", "stride"), [(9, 3, 1), (9, 3, 2), (10, 4, 3)])
def test_gradients_of_sums_over_what_windows_hold_under_a_condition(extent, window, stride):
    x, weights = numbers(2, extent), numbers(2, (extent - window) // stride + 1)

    def loss(x):
        seen = windows(x, axes=(1,), window=(window,), stride=(stride,), dilation=(1,))
        chosen = seen > 0.1
        for k in range(30):  # written out as a tree this would have no end
            chosen = (chosen | (seen > k)) & (chosen | (seen < -k))
        return np.sum(np.sum(seen * chosen.astype(np.float64), axis=2) * weights)
    assert_same(jit(cr.grad(loss))(x), cr.grad(loss)(x), scale=16)


def test_gradients_of_overlapping_pools_store_no_windows():
    x = numbers(4, 30, 30, 8)
    for pool in (nn.max_pool, nn.avg_pool):
        pulled = jit(cr.grad(lambda x, pool=pool: np.sum(np.sin(pool(x, 3, 1)))))
        assert pulled.memory(x).arena < 5 * x.nbytes  # windows of nine elements would take nine times as much each


def test_global_pools():
    x = numbers(2, 3, 4, 5)
    np.testing.assert_allclose(nn.global_avg_pool(x), x.mean(axis=(1, 2)))
    np.testing.assert_array_equal(nn.global_max_pool(x), x.max(axis=(1, 2)))
    first = np.moveaxis(x, -1, 1)
    np.testing.assert_array_equal(nn.global_max_pool(first, data_format="channels_first"), x.max(axis=(1, 2)))
    assert nn.global_avg_pool(first, True, "channels_first").shape == (2, 5, 1, 1)
    assert nn.global_avg_pool(x, keepdims=True).shape == (2, 1, 1, 5)


# ---------------------------------------------------------------- normalisations


def test_normalisations():
    x, scale, offset = numbers(3, 4, 5, 6), numbers(6), numbers(6)
    mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    expected = (x - mean) / np.sqrt(variance + 1e-3) * scale + offset
    np.testing.assert_allclose(nn.layer_norm(x, scale, offset), expected, atol=1e-12)
    np.testing.assert_allclose(nn.rms_norm(x, scale), x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6) * scale,
                               atol=1e-12)
    several = nn.layer_norm(x, np.ones((4, 6)), axis=(1, -1), epsilon=0.0)
    np.testing.assert_allclose(several.mean(axis=(1, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(several.var(axis=(1, 3)), 1)
    for axis in (-1, 1):
        channels = np.moveaxis(x, -1, axis)
        axes = tuple(i for i in range(4) if i != axis % 4)
        mean, variance = nn.moments(channels, axes)
        np.testing.assert_allclose(variance, channels.var(axis=axes))
        out = nn.batch_norm(channels, mean, variance, scale, offset, axis)
        normal = (x - x.mean(axis=(0, 1, 2))) / np.sqrt(x.var(axis=(0, 1, 2)) + 1e-3)
        np.testing.assert_allclose(np.moveaxis(out, axis, -1), normal * scale + offset, atol=1e-12)
        groups = nn.group_norm(channels, 3, scale, offset, axis)
        apart = x.reshape(3, 4, 5, 3, 2)
        normal = (apart - apart.mean(axis=(1, 2, 4), keepdims=True)) / np.sqrt(
            apart.var(axis=(1, 2, 4), keepdims=True) + 1e-3)
        np.testing.assert_allclose(np.moveaxis(groups, axis, -1), normal.reshape(x.shape) * scale + offset, atol=1e-12)
    assert nn.layer_norm(x.astype(np.float32), scale.astype(np.float32)).dtype == np.float32
    assert nn.moments(x, 1, keepdims=True)[0].shape == (3, 1, 5, 6)


def test_derivatives_of_normalisations():
    x, scale, offset = numbers(2, 3, 4), numbers(4), numbers(4)
    check_grads(nn.layer_norm, (x, scale, offset))
    check_grads(nn.rms_norm, (x, scale))
    check_grads(lambda x, s, o: nn.batch_norm(x, *nn.moments(x, (0, 1)), s, o), (x, scale, offset))
    check_grads(lambda x, s, o: nn.group_norm(x, 2, s, o), (x, scale, offset))
    assert_same(jit(nn.layer_norm)(x, scale, offset), nn.layer_norm(x, scale, offset), scale=32)
    assert_same(jit(lambda x: nn.group_norm(x, 2))(x), nn.group_norm(x, 2), scale=32)


# ---------------------------------------------------------------- attention


def attended(q, k, v, allowed, scale, bias=0.0):
    batch, queries, heads, _ = q.shape
    out = np.zeros((batch, queries, heads, v.shape[-1]))
    for b, i, h in np.ndindex(batch, queries, heads):
        g = h // (heads // k.shape[2])
        weights = np.exp(k[b, :, g] @ q[b, i, h] * scale + np.broadcast_to(bias, allowed.shape)[b, h, i])
        weights = weights * allowed[b, h, i]
        if weights.any():
            out[b, i, h] = weights / weights.sum() @ v[b, :, g]
    return out


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_attention(kv_heads):
    q, k, v = numbers(2, 3, 4, 5), numbers(2, 6, kv_heads, 5), numbers(2, 6, kv_heads, 7)
    every = np.ones((2, 4, 3, 6), bool)
    np.testing.assert_allclose(nn.dot_product_attention(q, k, v), attended(q, k, v, every, 5**-0.5), atol=1e-12)
    mask = RNG.random((2, 1, 3, 6)) < 0.5
    mask[0, 0, 1] = False  # a query that sees nothing
    bias = numbers(4, 3, 6)

    def f(q, k, v):
        return nn.dot_product_attention(q, k, v, mask, bias, scale=0.3)
    expected = attended(q, k, v, every & mask, 0.3, bias)
    np.testing.assert_allclose(f(q, k, v), expected, atol=1e-12)
    assert not f(q, k, v)[0, 1].any()
    assert_same(jit(f)(q, k, v), expected, scale=32)
    past = every & np.tril(np.ones((3, 6), bool))
    np.testing.assert_allclose(nn.dot_product_attention(q, k, v, causal=True), attended(q, k, v, past, 5**-0.5),
                               atol=1e-12)
    np.testing.assert_allclose(nn.dot_product_attention(q, k, v, mask, causal=True),
                               attended(q, k, v, past & mask, 5**-0.5), atol=1e-12)


def test_derivatives_of_attention():
    q, k, v = numbers(1, 3, 2, 2), numbers(1, 3, 1, 2), numbers(1, 3, 1, 2)
    mask = np.ones((3, 3), bool)
    mask[1] = False
    check_grads(lambda q, k, v: nn.dot_product_attention(q, k, v, mask, causal=True), (q, k, v))


def test_attention_with_dropout():
    q, k, v = (np.zeros((1, 4, 1, 2)), np.zeros((1, 50, 1, 2)), np.ones((1, 50, 1, 2)))
    out = nn.dot_product_attention(q, k, v, dropout_rate=0.5, dropout_key=random.key(1))
    assert len(np.unique(out)) > 1 and abs(out.mean() - 1) < 0.3
    with pytest.raises(ArgumentError, match="no key"):
        nn.dot_product_attention(q, k, v, dropout_rate=0.5)


# ---------------------------------------------------------------- lookup, dropout, activations


def test_lookup():
    labels = np.array([[0, 2], [1, 5]])
    expected = (labels[..., None] == np.arange(3)).astype(np.float32)
    np.testing.assert_array_equal(nn.one_hot(labels, 3), expected)
    np.testing.assert_array_equal(nn.one_hot(labels, 3, axis=0, dtype=np.int8), np.moveaxis(expected, -1, 0))
    np.testing.assert_array_equal(jit(lambda x: nn.one_hot(x, 3))(labels), expected)
    table, ids = numbers(4, 3), np.array([[0, -1], [2, 2]])
    np.testing.assert_array_equal(nn.embedding(ids, table), table[ids])
    np.testing.assert_array_equal(jit(nn.embedding)(ids, table), table[ids])
    grads = cr.grad(lambda t: np.sum(nn.embedding(ids, t)))(table)
    np.testing.assert_array_equal(grads, np.array([[1.0], [0.0], [2.0], [1.0]]) * np.ones(3))
    check_grads(lambda t: nn.embedding(ids, t) ** 2, (table,))
    with pytest.raises(IndexError, match="out of range"):
        nn.embedding(np.array([4]), table)


def test_dropout():
    x = np.ones((200, 50), np.float32)
    out = nn.dropout(random.key(1), x, 0.2)
    assert out.dtype == np.float32 and set(np.unique(out)) == {0.0, np.float32(1.25)}
    assert abs((out == 0).mean() - 0.2) < 0.02
    np.testing.assert_array_equal(jit(lambda key, x: nn.dropout(key, x, 0.2))(random.key(1), x), out)
    columns = nn.dropout(random.key(1), x, 0.5, noise_shape=(1, 50))
    assert (columns == columns[:1]).all() and len(np.unique(columns)) == 2
    assert nn.dropout(random.key(1), x, 0.0) is x
    np.testing.assert_array_equal(cr.grad(lambda x: np.sum(nn.dropout(random.key(1), x, 0.2)))(x), out)


def test_activations_are_those_of_keras():
    assert nn.relu is cr.activations.get("relu") and nn.mish is cr.activations.get("mish")
    assert nn.logsumexp is cr.numpy.logsumexp


EACH = {
    "conv": (lambda x, k: nn.conv(x, k, 2, "same"), (2, 5, 4, 3), (3, 2, 3, 2)),
    "conv in groups": (lambda x, k: nn.conv(x, k, groups=3), (2, 5, 3), (2, 1, 6)),
    "conv_transpose": (lambda x, k: nn.conv_transpose(x, k, 2, "same"), (2, 3, 4, 3), (3, 2, 2, 3)),
    "max_pool": (lambda x: nn.max_pool(x, 2, padding="same"), (2, 5, 3)),
    "avg_pool": (lambda x: nn.avg_pool(x, 2, padding="same"), (2, 5, 3)),
    "layer_norm": (nn.layer_norm, (2, 5), (5,)),
    "group_norm": (lambda x: nn.group_norm(x, 2), (3, 2, 4)),
    "attention": (lambda q, k: nn.dot_product_attention(q, k, k, causal=True), (1, 3, 2, 4), (1, 3, 1, 4)),
    "one_hot": (lambda x: nn.one_hot(np.floor(x).astype(int), 3), (4,)),
    "embedding": (lambda t: nn.embedding(np.array([2, 0, 2]), t), (3, 2)),
}


@pytest.mark.parametrize("name", EACH)
def test_batched_functions_and_gradients_are_loops(name):
    f, *shapes = EACH[name]
    args = [numbers(3, *shape) for shape in shapes]

    def slope(*args):
        return cr.grad(lambda *a: np.sum(np.sin(f(*a))), tuple(range(len(args))))(*args)
    expected = np.stack([f(*(a[i] for a in args)) for i in range(3)])
    slopes = [np.stack(s) for s in zip(*(slope(*(a[i] for a in args)) for i in range(3)), strict=True)]
    for run in (cr.vmap, lambda g: jit(cr.vmap(g))):
        assert_same(run(f)(*args), expected, scale=64)
        for got, wanted in zip(run(slope)(*args), slopes, strict=True):
            assert_same(got, wanted, scale=64)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: nn.conv(np.ones((5, 2)), np.ones((3, 2, 4))), ShapeError, r"x\[None\]"),
    (lambda: nn.conv(np.ones((1, 5, 2)), np.ones((3, 3, 2, 4))), ShapeError, "kernel of 3 axes"),
    (lambda: nn.conv(np.ones((1, 5, 2)), np.ones((3, 3, 4))), ShapeError, r"in / groups"),
    (lambda: nn.conv(np.ones((1, 5, 4)), np.ones((3, 2, 3)), groups=2), ShapeError, "multiple of groups"),
    (lambda: nn.conv(np.ones((1, 5, 2)), np.ones((6, 2, 4))), ShapeError, "fits into the input"),
    (lambda: nn.conv(np.ones((1, 5, 2)), np.ones((3, 2, 4)), padding="full"), ArgumentError, "'same'"),
    (lambda: nn.conv(np.ones((1, 5, 2)), np.ones((3, 2, 4)), padding=-1), ArgumentError, "padding=-1"),
    (lambda: nn.conv(np.ones((1, 5, 2)), np.ones((3, 2, 4)), stride=0), ArgumentError, "stride=0"),
    (lambda: nn.conv(np.ones((1, 5, 2)), np.ones((3, 2, 4)), data_format="NHWC"), ArgumentError, "channels_last"),
    (lambda: nn.conv_transpose(np.ones((1, 5, 2)), np.ones((3, 2, 4))), ShapeError, "swapaxes"),
    (lambda: nn.conv_transpose(np.ones((1, 5, 4)), np.ones((3, 2, 4)), padding="causal"), ArgumentError, "causal"),
    (lambda: nn.conv_transpose(np.ones((1, 5, 4)), np.ones((3, 2, 4)), padding=3), ArgumentError, "reach"),
    (lambda: nn.conv_transpose(np.ones((1, 5, 4)), np.ones((3, 2, 4)), output_padding=1), ArgumentError, "stride"),
    (lambda: nn.max_pool(np.ones((1, 5, 2)), (2, 2)), ArgumentError, r"window=\(2, 2\)"),
    (lambda: nn.avg_pool(np.ones((1, 5, 2)), 6), ShapeError, "avg_pool"),
    (lambda: nn.layer_norm(np.ones((2, 3)), np.ones(2)), ShapeError, r"shape \(3,\)"),
    (lambda: nn.batch_norm(np.ones((2, 3)), np.ones(1), np.ones(3)), ShapeError, "mean"),
    (lambda: nn.group_norm(np.ones((2, 3)), 2), ShapeError, "2 groups"),
    (lambda: nn.dot_product_attention(*[np.ones((2, 3, 4))] * 3), ShapeError, "heads"),
    (lambda: nn.dot_product_attention(*[np.ones((1, 2, 3, 4))] * 3, mask=np.ones(2)), ChainruleTypeError, "bools"),
    (lambda: nn.dot_product_attention(*[np.ones((1, 2, 3, 4))] * 3, bias=np.ones((9, 1, 1, 1, 1))), ShapeError, "bias"),
    (lambda: nn.one_hot(np.ones(2), 3), ChainruleTypeError, "whole numbers"),
    (lambda: nn.embedding(np.array([0]), 1.0), ShapeError, "scalar table"),
    (lambda: nn.dropout(random.key(1), np.ones(3), 1.0), ArgumentError, "rate"),
    (lambda: nn.dropout(random.key(1), np.ones(3), 0.5, (2,)), ShapeError, "broadcast"),
    (lambda: nn.glu(np.ones(3)), ArgumentError, "even"),
])
def test_what_does_not_fit_is_an_error(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(("extent", "window", "stride", "dilation", "padding"), [
    (1, 1, 2, 1, 1), (1, 1, 3, 2, 2), (1, 3, 2, 2, (3, 1)), (2, 2, 3, 3, 1), (5, 2, 3, 2, 0), (8, 3, 2, 3, (0, 3))])
def test_elements_that_no_window_sees_have_no_gradient(extent, window, stride, dilation, padding):
    x, kernel = np.cos(np.arange(2.0 * extent)).reshape(1, extent, 2), np.ones((window, 2, 3))

    def loss(x, kernel):
        pads = [padding] if isinstance(padding, tuple) else padding
        return np.sum(np.sin(nn.conv(x, kernel, stride=stride, dilation=dilation, padding=pads)))
    gradient = cr.grad(loss, argnums=(0, 1))
    for out, expected in zip(cr.jit(gradient)(x, kernel), gradient(x, kernel), strict=True):
        np.testing.assert_allclose(out, expected, atol=1e-12)
