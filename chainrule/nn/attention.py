"""Attention."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.activations import softmax
from chainrule.autodiff.custom import checkpoint
from chainrule.control import scan
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError
from chainrule.nn.stochastic import dropout
from chainrule.numpy.common import positions
from chainrule.numpy.products import labelled
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Traced, broadcast_shapes, dtype_of, shape_of
from chainrule.ops.index import take
from chainrule.ops.structure import broadcast, reshape

LARGE = 2**20  # scores from which on they are computed block by block
BLOCK = 2**16  # scores of a block: what the second cache holds
PARTS = 4  # of a causal sequence
_BATCH, _HEAD, _QUERY, _KEY, _D = range(1, 6)


def dot_product_attention(query: Any, key: Any, value: Any, mask: Any = None, bias: Any = None, causal: bool = False,
                          scale: float | None = None, dropout_rate: float = 0.0, dropout_key: Any = None) -> Any:
    """``softmax(query · key * scale + bias) · value``, for each head on its own.

    Args:
        query: (batch, queries, heads, d).
        key: (batch, keys, heads, d); there may be fewer heads: each then serves as many of the query's in a row.
        value: (batch, keys, heads, e), with the heads of ``key``.
        mask: bools that broadcast to (batch, heads, queries, keys): which key a query may see.
        bias: floats that broadcast to (batch, heads, queries, keys), added to the scaled products.
        causal: query i sees keys 0 … i only (in addition to ``mask``).
        scale: None is ``1 / sqrt(d)``.
        dropout_rate: the share of the weights to drop while training.
        dropout_key: a key of ``chainrule.random`` for it.

    Returns:
        (batch, queries, heads, e). A query that may see no key gets zeros.

    Example:
        >>> from chainrule import nn
        >>> q = k = np.zeros((1, 3, 2, 4))
        >>> v = np.arange(3.0).reshape(1, 3, 1, 1) * np.ones((1, 3, 2, 5))
        >>> nn.dot_product_attention(q, k, v, causal=True)[0, :, 0, 0]
        array([0. , 0.5, 1. ])

    Source: Vaswani and others, "Attention is all you need", NeurIPS 2017.
    """
    query, key, value = (x if isinstance(x, Traced) else np.asarray(x) for x in (query, key, value))
    _check(query, key, value)
    heads = query.shape[2]
    key, value = _for_heads(key, heads), _for_heads(value, heads)
    shape = (query.shape[0], heads, query.shape[1], key.shape[1])
    factor = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
    if math.prod(shape) >= LARGE and bias is None and not dropout_rate and isinstance(query, Traced):
        return _by_blocks(query, key, value, _checked_mask(mask, shape), causal, factor)
    logits = labelled(ew.mul(query, factor), key, (_BATCH, _QUERY, _HEAD, _D), (_BATCH, _KEY, _HEAD, _D),
                      (_BATCH, _HEAD, _QUERY, _KEY))
    if bias is not None:
        _fits("bias", bias, shape)
        logits = ew.add(logits, bias)
    allowed = _allowed(mask, causal, logits, shape)
    if allowed is not None:
        logits = ew.select(allowed, logits, _far_below(logits.dtype))
    weights = softmax(logits)
    if allowed is not None:
        weights = ew.select(allowed, weights, 0.0)  # matters where nothing is allowed
    if dropout_rate:
        if dropout_key is None:
            raise ArgumentError.of(f"the function dot_product_attention got dropout_rate={dropout_rate} and no key",
                                   "a key for the random choice", "dropout_key=random.key(1)")
        weights = dropout(dropout_key, weights, dropout_rate)
    return labelled(weights, value, (_BATCH, _HEAD, _QUERY, _KEY), (_BATCH, _KEY, _HEAD, _D),
                    (_BATCH, _QUERY, _HEAD, _D))


def _check(query: Any, key: Any, value: Any) -> None:
    q, k, v = query.shape, key.shape, value.shape
    if (len(q), len(k), len(v)) != (4, 4, 4) or not (q[0] == k[0] == v[0] and k[1:3] == v[1:3] and q[3] == k[3]) or (
            not k[1] or not k[2] or q[2] % k[2]):
        raise ShapeError.of(
            f"got a query of shape {tuple(q)}, a key of {tuple(k)} and a value of {tuple(v)} for attention",
            "(batch, queries, heads, d), (batch, keys, heads, d), (batch, keys, heads, e)",
            "x.reshape(batch, length, heads, -1)")


def _for_heads(x: Any, heads: int) -> Any:
    """Each of fewer heads repeated in a row."""
    have = x.shape[2]
    if have == heads:
        return x
    batch, length, _, d = x.shape
    wide = broadcast(x, shape=(batch, length, have, heads // have, d), dims=(0, 1, 2, 4))
    return reshape(wide, shape=(batch, length, heads, d))


def _allowed(mask: Any, causal: bool, logits: Any, shape: tuple[int, ...]) -> Any:
    allowed = _checked_mask(mask, shape)
    if causal:
        square = shape[2:]
        past = ew.ge(positions(logits, square, 0), positions(logits, square, 1))
        allowed = past if allowed is None else np.logical_and(allowed, past)
    return allowed


def _checked_mask(mask: Any, shape: tuple[int, ...]) -> Any:
    if mask is not None:
        if dtype_of(mask) != np.dtype(bool):
            raise ChainruleTypeError.of(f"the function dot_product_attention got a mask of dtype {dtype_of(mask)}",
                                        "bools: True where a query may see a key", "mask.astype(bool)")
        _fits("mask", mask, shape)
    return mask


# ---------------------------------------------------------------- without the matrix of all scores


def _by_blocks(query: Any, key: Any, value: Any, mask: Any, causal: bool, factor: float) -> Any:
    """Head by head, and for each of them a block of queries after the other, whose scores stay in the cache.

    Reverse mode computes a block's scores again, so that those of one block are all that is ever kept. Where the mask
    is causal, the queries of a part of the sequence meet the keys up to its end only.
    """
    batch, queries, heads, _ = query.shape
    keys = key.shape[1]
    rows = min(128, max(16, BLOCK // keys))
    parts = _parts(queries, keys, rows) if causal else [(0, queries, keys)]
    masks = None if mask is None else np.reshape(mask, (1,) * (4 - len(shape_of(mask))) + tuple(shape_of(mask)))
    block = _block(causal, factor)

    def head(carry: Any, taken: Any) -> Any:
        (q, k, v), number = taken
        allowed = None if masks is None else _of_head(masks, number, heads)
        found = [_part(block, q[start:stop], k[:seen], v[:seen], _seen(allowed, start, stop, seen), start, rows)
                 for start, stop, seen in parts]
        return carry, found[0] if len(found) == 1 else np.concatenate(found)
    apart = tuple(np.reshape(np.transpose(x, (0, 2, 1, 3)), (batch * heads, *x.shape[1::2]))
                  for x in (query, key, value))
    out = scan(head, (), (apart, np.arange(batch * heads)))[1]
    return np.transpose(np.reshape(out, (batch, heads, queries, -1)), (0, 2, 1, 3))


def _block(causal: bool, factor: float) -> Callable[..., Any]:
    """Attention of a block of queries, the first of which has the number ``first``, to keys of one head."""
    @checkpoint
    def block(q: Any, k: Any, v: Any, allowed: Any, first: Any) -> Any:
        logits = labelled(ew.mul(q, factor), k, (_QUERY, _D), (_KEY, _D), (_QUERY, _KEY))
        if causal:
            past = ew.ge(ew.add(positions(q, logits.shape, 0), first), positions(q, logits.shape, 1))
            allowed = past if allowed is None else np.logical_and(allowed, past)
        if allowed is None:
            return softmax(logits) @ v
        weights = softmax(ew.select(allowed, logits, _far_below(logits.dtype)))
        return ew.select(allowed, weights, 0.0) @ v
    return block


def _part(block: Callable[..., Any], q: Any, k: Any, v: Any, allowed: Any, start: int, rows: int) -> Any:
    """Some queries, of which the first has the number ``start``, block after block."""
    queries = q.shape[0]
    count = -(-queries // rows)
    each = allowed is not None and allowed.shape[0] > 1
    given = {"q": _in_blocks(q, count, rows), "first": np.arange(start, start + count * rows, rows),
             "allowed": _in_blocks(allowed, count, rows) if each else None}
    out = scan(lambda carry, x: (carry, block(x["q"], k, v, x["allowed"] if each else allowed, x["first"])), (), given)
    return np.reshape(out[1], (count * rows, -1))[:queries]


def _seen(allowed: Any, start: int, stop: int, keys: int) -> Any:
    """The part of a mask that belongs to some queries and the first keys."""
    if allowed is None:
        return None
    allowed = allowed[:, :keys]
    return allowed[start:stop] if allowed.shape[0] > 1 else allowed


def _parts(queries: int, keys: int, rows: int) -> list[tuple[int, int, int]]:
    """Parts of the queries, each with the number of keys that its last one sees."""
    size = -(-queries // (PARTS * rows)) * rows
    stops = [min(start + size, queries) for start in range(0, queries, size)]
    return [(start, stop, min(stop, keys)) for start, stop in zip((0, *stops), stops, strict=False)]


def _in_blocks(x: Any, count: int, rows: int) -> Any:
    """``x`` in blocks of rows, the last one filled up with zeros."""
    missing = count * rows - x.shape[0]
    if missing:
        x = np.concatenate([x, np.zeros((missing, *x.shape[1:]), x.dtype)])
    return np.reshape(x, (count, rows, *x.shape[1:]))


def _of_head(masks: Any, number: Any, heads: int) -> Any:
    """The mask of one head of all, of shape (queries or 1, keys or 1)."""
    samples, per_sample = masks.shape[:2]
    row = (number // heads if samples > 1 else 0) * per_sample + (number % heads if per_sample > 1 else 0)
    return take(np.reshape(masks, (samples * per_sample, *masks.shape[2:])), row, axis=0)


def _far_below(dtype: np.dtype) -> float:
    """A logit whose weight is 0, and finite, so that no NaN comes where nothing is allowed."""
    return -6e4 if dtype == np.float16 else -1e38


def _fits(name: str, x: Any, shape: tuple[int, ...]) -> None:
    if broadcast_shapes(shape_of(x), shape) != shape:
        raise ShapeError.of(f"the function dot_product_attention got a {name} of shape {shape_of(x)}",
                            f"what broadcasts to (batch, heads, queries, keys) = {shape}", f"{name}[:, None]")
