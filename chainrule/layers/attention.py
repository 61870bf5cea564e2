"""Attention: each step of a sequence looks at the steps of another, or at its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from chainrule import activations, nn
from chainrule.arguments import share, whole
from chainrule.errors import ArgumentError, ShapeError
from chainrule.layers.base import FLOAT, Layer, Shape
from chainrule.layers.kernel import KernelLayer
from chainrule.nn.stochastic import dropout
from chainrule.numpy.common import reshaped, transposed


class MultiHeadAttention(KernelLayer):
    """Attention of several heads: projections of query, key and value, attention of each head, a last projection.

    Args:
        num_heads: the number of heads.
        key_dim: the extent of query and key of each head.
        value_dim: the extent of the value of each head; None: ``key_dim``.
        dropout: the share of the attention weights to drop while training.
        use_bias: whether the projections have biases.
        output_shape: the features of the output, one extent or several; None: those of the query.
        attention_axes: the axes that are looked along; None: all between batch and features. Those left out are
            batches, in which queries and keys belong together.
        sliding_window: a query sees keys less than so many steps before or after it.
        flash_attention: accepted, and without effect: the choice of the algorithm is the compiler's.
        use_gate: whether each head's result is multiplied by a sigmoid of a further projection of the query.
        seed: a seed of this layer's own, for dropout.
        options: ``kernel_initializer`` and the others of :class:`KernelLayer`, for all projections.

    Called with ``(query, value)`` or ``(query, value, key)``, of shapes ``(batch, steps, …, features)``, and:
        attention_mask: bools that broadcast to ``(batch, queries, keys)``, or ``(batch, heads, queries, keys)``.
        return_attention_scores: whether to return ``(output, scores)``.
        use_causal_mask: query i sees keys 0 … i only.

    Masks of the inputs are taken into account: a key that is skipped is not seen. A query that may see nothing gets
    zeros from each head.

    Example:
        >>> x = np.ones((2, 5, 16))
        >>> MultiHeadAttention(num_heads=4, key_dim=8)(x, x, use_causal_mask=True).shape
        (2, 5, 16)

    Source: Vaswani and others, "Attention is all you need", NeurIPS 2017.
    """

    supports_masking = True

    def __init__(self, num_heads: int, key_dim: int, value_dim: int | None = None, dropout: float = 0.0,
                 use_bias: bool = True, output_shape: int | Sequence[int] | None = None,
                 attention_axes: int | Sequence[int] | None = None, sliding_window: int | None = None,
                 flash_attention: bool | None = None, *, use_gate: bool = False, seed: int | None = None,
                 **options: Any) -> None:
        super().__init__(None, use_bias, **options)
        self.num_heads, self.key_dim = whole("num_heads", num_heads), whole("key_dim", key_dim)
        self.value_dim = self.key_dim if value_dim is None else whole("value_dim", value_dim)
        self.dropout, self.seed, self.use_gate = share("dropout", dropout), seed, bool(use_gate)
        self.features = None if output_shape is None else _several("output_shape", output_shape)
        self.attention_axes = None if attention_axes is None else _several("attention_axes", attention_axes, None)
        self.sliding_window = None if sliding_window is None else whole("sliding_window", sliding_window)

    def build(self, query_shape: Shape, value_shape: Shape, key_shape: Shape | None = None) -> None:
        """Make the kernels ``(features, heads, dim)`` and that of the output, ``(heads, dim, features)``."""
        keys = value_shape if key_shape is None else key_shape
        for shape in (query_shape, keys, value_shape):
            if len(shape) < 3 or len(shape) != len(query_shape) or shape[-1] is None or shape[1:-1] != (
                    query_shape if shape is query_shape else keys)[1:-1]:
                raise ShapeError.of(f"layer {self.name!r} (MultiHeadAttention) got inputs of shapes {query_shape}, "
                                    f"{value_shape}, {keys}", "(batch, steps, features), value and key with the same "
                                    "steps", "x[None]   # one sample is a batch of one")
        parts = [("query", query_shape, self.key_dim), ("key", keys, self.key_dim),
                 *([("gate", query_shape, self.value_dim)] if self.use_gate else []),
                 ("value", value_shape, self.value_dim)]
        for name, shape, dim in parts:
            kernel = self.add_kernel((shape[-1], self.num_heads, dim), f"{name}_kernel", ([0], [1, 2]))
            setattr(self, f"{name}_kernel", kernel)
            if self.use_bias:
                setattr(self, f"{name}_bias", self.add_bias((self.num_heads, dim), f"{name}_bias"))
        features = self.features or (query_shape[-1],)
        self.output_kernel = self.add_kernel((self.num_heads, self.value_dim, *features), "output_kernel",
                                             ([0, 1], range(2, 2 + len(features))))
        if self.use_bias:
            self.output_bias = self.add_bias(features, "output_bias")

    def projected(self, x: Any, name: str) -> Any:
        """(batch, steps, features) as (batch, steps, heads, dim)."""
        kernel = getattr(self, f"{name}_kernel")
        features, heads, dim = kernel.shape
        out = x @ reshaped(kernel, (features, heads * dim))
        if self.use_bias:
            out = out + reshaped(getattr(self, f"{name}_bias"), (heads * dim,))
        return reshaped(out, (*x.shape[:-1], heads, dim))

    def call(self, query: Any, value: Any, key: Any = None, query_mask: Any = None, value_mask: Any = None,
             key_mask: Any = None, attention_mask: Any = None, return_attention_scores: bool = False,
             use_causal_mask: bool = False, training: bool = False) -> Any:
        """What each query makes of the values."""
        q, v = self.projected(query, "query"), self.projected(value, "value")
        k = self.projected(value if key is None else key, "key")
        plain = len(q.shape) == 4 and self.attention_axes in (None, (1,), (-2,))
        allowed = _combined(attention_mask, query_mask, value_mask, key_mask,
                            _band(q.shape[1], v.shape[1], use_causal_mask and not plain, self.sliding_window))
        drop = self.dropout if training else 0.0
        noise = self.next_key(self.seed) if drop else None
        scores = None
        if plain and not return_attention_scores:
            out = nn.dot_product_attention(q, k, v, mask=_with_heads(allowed, 4, 1), causal=use_causal_mask,
                                           dropout_rate=drop, dropout_key=noise)
        else:
            if plain and use_causal_mask:
                allowed = _combined(allowed, None, None, None, _band(q.shape[1], v.shape[1], True, None))
            axes = self.attention_axes or tuple(range(1, len(q.shape) - 2))
            out, scores = _scored(q, k, v, allowed, [a % (len(q.shape) - 1) for a in axes], drop, noise)
        if self.use_gate:
            out = out * activations.sigmoid(self.projected(query, "gate"))
        kernel, outer = self.output_kernel, out.shape[:-2]
        rows, columns = out.shape[-2] * out.shape[-1], math.prod(kernel.shape[2:])
        out = reshaped(out, (*outer, rows)) @ reshaped(kernel, (rows, columns))
        out = reshaped(out, (*outer, *kernel.shape[2:]))
        if self.use_bias:
            out = out + self.output_bias
        return (out, scores) if return_attention_scores else out

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """That of the query."""
        return mask

    def describe(self) -> str:
        """Heads and the extent of each."""
        return f"{self.num_heads}, {self.key_dim}"


def _several(name: str, value: Any, least: int | None = 1) -> tuple[int, ...]:
    """One whole number or several as a tuple."""
    numbers = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not numbers or not all(isinstance(n, int | np.integer) for n in numbers):
        raise ArgumentError.of(f"got {name}={value!r}", "a whole number, or several", f"{name}=2")
    return tuple(int(n) if least is None else whole(name, n, least) for n in numbers)


def _band(queries: int, keys: int, causal: bool, window: int | None) -> Any:
    """Which keys each query may see by their places alone, (queries, keys); None for all."""
    if not causal and window is None:
        return None
    ahead = np.arange(keys)[None, :] - np.arange(queries)[:, None]
    return (ahead <= 0 if causal else True) & (np.abs(ahead) < (window or max(queries, keys)))


def _combined(attention: Any, query: Any, value: Any, key: Any, band: Any) -> Any:
    """Masks as one, of the shape that the one for attention has, or else (batch, queries, keys)."""
    parts = [] if attention is None else [np.not_equal(attention, 0)]
    parts += [] if query is None else [query[:, :, None]]
    parts += [mask[:, None, :] for mask in (value, key) if mask is not None]
    parts += [] if band is None else [band[None]]
    most = max([len(part.shape) for part in parts], default=0)
    return reduce(np.logical_and, [_with_heads(part, most, 1) for part in parts]) if parts else None


def _with_heads(mask: Any, ndim: int, axes: int) -> Any:
    """A mask with axes of extent 1 before those of queries and keys, of which there are ``axes`` each."""
    if mask is None or len(mask.shape) >= ndim:
        return mask
    at = len(mask.shape) - 2 * axes
    return np.reshape(mask, (*mask.shape[:at], *(1,) * (ndim - len(mask.shape)), *mask.shape[at:]))


def _scored(q: Any, k: Any, v: Any, allowed: Any, axes: list[int], rate: float, noise: Any) -> tuple[Any, Any]:
    """Attention along ``axes`` that also gives its weights, (batch, …, heads, queries …, keys …)."""
    ndim = len(q.shape)
    batch = [i for i in range(ndim - 1) if i not in axes]
    order = (*batch, *axes, ndim - 1)
    outer = tuple(q.shape[i] for i in batch)

    def rows(x: Any) -> Any:
        return reshaped(transposed(x, order), (*outer, math.prod(x.shape[i] for i in axes), x.shape[-1]))
    logits = (rows(q) * np.float32(q.shape[-1] ** -0.5)) @ np.swapaxes(rows(k), -1, -2)
    shape = (*outer, *(q.shape[i] for i in axes), *(k.shape[i] for i in axes))
    if allowed is None:
        weights = nn.softmax(logits)
    else:
        seen = reshaped(np.broadcast_to(_with_heads(allowed, len(shape), len(axes)), shape), logits.shape)
        weights = np.where(seen, nn.softmax(np.where(seen, logits, np.float32(-1e9))), np.float32(0))
    kept = dropout(noise, weights, rate) if rate else weights
    out = reshaped(kept @ rows(v), (*outer, *(q.shape[i] for i in axes), v.shape[-1]))
    return transposed(out, tuple(order.index(i) for i in range(ndim))), reshaped(weights, shape)


class Attention(Layer):
    """Attention of one head without projections: ``softmax(query · key) · value``.

    Args:
        use_scale: whether the products are multiplied by a number that is learned.
        score_mode: ``'dot'``: products of query and key; ``'concat'``: sums of ``tanh(query + key)``, times a learned
            number.
        dropout: the share of the attention weights to drop while training.
        seed: a seed of this layer's own, for dropout.
        options: those of every :class:`Layer`.

    Called with ``[query, value]`` or ``[query, value, key]``, of shapes ``(batch, steps, features)``, and
    ``return_attention_scores``, ``use_causal_mask``. Masks of the inputs: a value that is skipped is not seen, a query
    that is skipped gets zeros.

    Example:
        >>> x = np.ones((2, 5, 16))
        >>> Attention()([x, x]).shape
        (2, 5, 16)

    Source: Luong, Pham and Manning, "Effective approaches to attention-based neural machine translation", 2015.
    """

    input_dtype = FLOAT
    additive = False  # whether scores are sums of tanh(query + key) times a vector

    def __init__(self, use_scale: bool = False, score_mode: str = "dot", dropout: float = 0.0, seed: int | None = None,
                 **options: Any) -> None:
        super().__init__(**options)
        if score_mode not in ("dot", "concat"):
            raise ArgumentError.of(f"layer {self.name!r} got score_mode={score_mode!r}", "'dot' or 'concat'",
                                   "score_mode='dot'")
        self.use_scale, self.score_mode, self.dropout, self.seed = bool(use_scale), score_mode, share(
            "dropout", dropout), seed

    def build(self, input_shape: Any) -> None:
        """Make what is learned."""
        if not isinstance(input_shape, list | tuple) or len(input_shape) not in (2, 3) or input_shape[0] is None:
            raise ArgumentError.of(f"layer {self.name!r} ({type(self).__name__}) got inputs of shape {input_shape}",
                                   "a list: [query, value] or [query, value, key]", f"{type(self).__name__}()([x, x])")
        if self.use_scale:
            shape = (input_shape[0][-1],) if self.additive else ()
            self.scale = self.add_weight(shape, "glorot_uniform" if self.additive else "ones")
        if self.score_mode == "concat" and not self.additive:
            self.concat_score_weight = self.add_weight((), "ones")

    def scores(self, query: Any, key: Any) -> Any:
        """(batch, queries, keys), before the softmax."""
        if self.score_mode == "dot" and not self.additive:
            products = query @ np.swapaxes(key, -2, -1)
            return products * self.scale if self.use_scale else products
        both = query[..., :, None, :] + key[..., None, :, :]
        if self.additive:
            summands = np.tanh(both)
            return np.sum(self.scale * summands if self.use_scale else summands, axis=-1)
        return self.concat_score_weight * np.sum(np.tanh(self.scale * both if self.use_scale else both), axis=-1)

    def call(self, inputs: Sequence[Any], mask: Any = None, training: bool = False,
             return_attention_scores: bool = False, use_causal_mask: bool = False) -> Any:
        """What each query makes of the values."""
        if mask is not None and (not isinstance(mask, list | tuple) or len(mask) not in (2, 3)):
            raise ArgumentError.of(f"layer {self.name!r} ({type(self).__name__}) got the mask {mask!r}"[:200],
                                   "a list: [query_mask, value_mask]", "mask=[None, value_mask]")
        query, value = inputs[0], inputs[1]
        scores = self.scores(query, inputs[2] if len(inputs) > 2 else value)
        seen, asked = (None, None) if mask is None else (mask[1], mask[0])
        allowed = None if seen is None else seen[:, None, :] if len(seen.shape) == 2 else seen
        if use_causal_mask:
            past = np.tril(np.ones(scores.shape[-2:], bool))
            allowed = past if allowed is None else np.logical_and(allowed, past)
        if allowed is not None:
            scores = np.where(allowed, scores, scores - np.float32(1e9))
        weights = nn.softmax(scores)
        if training and self.dropout:
            weights = dropout(self.next_key(self.seed), weights, self.dropout)
        out = weights @ value
        if asked is not None:
            out = np.where(asked[..., None], out, np.float32(0))
        return (out, weights) if return_attention_scores else out

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """That of the query."""
        return None if mask is None else mask[0]


class AdditiveAttention(Attention):
    """Attention whose scores are sums of ``scale * tanh(query + key)`` with a vector ``scale`` that is learned.

    Args:
        use_scale: whether there is one.
        dropout: the share of the attention weights to drop while training.
        seed: a seed of this layer's own, for dropout.
        options: those of every :class:`Layer`.

    Called as :class:`Attention`.

    Source: Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to align and translate",
    ICLR 2015.
    """

    additive = True

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, seed: int | None = None, **options: Any) -> None:
        super().__init__(use_scale, "dot", dropout, seed, **options)


__all__ = ["AdditiveAttention", "Attention", "MultiHeadAttention"]
