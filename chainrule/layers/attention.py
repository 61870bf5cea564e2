"""Attention: each step of a sequence looks at the steps of another, or at its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule import nn
from chainrule.arguments import share, whole
from chainrule.errors import ArgumentError, ShapeError
from chainrule.layers.base import FLOAT, Layer, Shape
from chainrule.layers.kernel import KernelLayer
from chainrule.nn.stochastic import dropout
from chainrule.numpy.common import reshaped


class MultiHeadAttention(KernelLayer):
    """Attention of several heads: projections of query, key and value, attention of each head, a last projection.

    Args:
        num_heads: the number of heads.
        key_dim: the extent of query and key of each head.
        value_dim: the extent of the value of each head; None: ``key_dim``.
        dropout: the share of the attention weights to drop while training.
        use_bias: whether the projections have biases.
        output_shape: the features of the output; None: those of the query.
        seed: a seed of this layer's own, for dropout.
        options: ``kernel_initializer`` and the others of :class:`KernelLayer`, for all projections.

    Called with ``(query, value)`` or ``(query, value, key)``, of shapes ``(batch, steps, features)``, and:
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

    def __init__(self, num_heads: int, key_dim: int, value_dim: int | None = None, dropout: float = 0.0,
                 use_bias: bool = True, output_shape: int | Sequence[int] | None = None, seed: int | None = None,
                 **options: Any) -> None:
        super().__init__(None, use_bias, **options)
        self.num_heads, self.key_dim = whole("num_heads", num_heads), whole("key_dim", key_dim)
        self.value_dim = self.key_dim if value_dim is None else whole("value_dim", value_dim)
        self.dropout, self.seed = share("dropout", dropout), seed
        self.features = output_shape if output_shape is None or isinstance(output_shape, int) else output_shape[0]

    def build(self, query_shape: Shape, value_shape: Shape, key_shape: Shape | None = None) -> None:
        """Make the kernels ``(features, heads, dim)`` and that of the output, ``(heads, dim, features)``."""
        shapes = query_shape, value_shape if key_shape is None else key_shape, value_shape
        for shape in shapes:
            if len(shape) != 3 or shape[-1] is None:
                raise ShapeError.of(f"layer {self.name!r} (MultiHeadAttention) got an input of shape {shape}",
                                    "(batch, steps, features)", "x[None]   # one sample is a batch of one")
        dims = self.key_dim, self.key_dim, self.value_dim
        for name, shape, dim in zip(("query", "key", "value"), shapes, dims, strict=True):
            setattr(self, f"{name}_kernel", self.add_kernel((shape[-1], self.num_heads, dim), f"{name}_kernel"))
            if self.use_bias:
                setattr(self, f"{name}_bias", self.add_bias((self.num_heads, dim), f"{name}_bias"))
        features = self.features or query_shape[-1]
        self.output_kernel = self.add_kernel((self.num_heads, self.value_dim, features), "output_kernel")
        if self.use_bias:
            self.output_bias = self.add_bias((features,), "output_bias")

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
        allowed = _combined(attention_mask, query_mask, value_mask, key_mask)
        q, v = self.projected(query, "query"), self.projected(value, "value")
        k = self.projected(value if key is None else key, "key")
        drop = self.dropout if training else 0.0
        noise = self.next_key(self.seed) if drop else None
        scores = None
        if return_attention_scores:
            out, scores = _scored(q, k, v, allowed, use_causal_mask, drop, noise)
        else:
            out = nn.dot_product_attention(q, k, v, mask=allowed, causal=use_causal_mask, dropout_rate=drop,
                                           dropout_key=noise)
        batch, steps, heads, dim = out.shape
        kernel = self.output_kernel
        out = reshaped(out, (batch, steps, heads * dim)) @ reshaped(kernel, (heads * dim, kernel.shape[-1]))
        if self.use_bias:
            out = out + self.output_bias
        return (out, scores) if return_attention_scores else out

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """That of the query."""
        return mask

    def describe(self) -> str:
        """Heads and the extent of each."""
        return f"{self.num_heads}, {self.key_dim}"


def _combined(attention: Any, query: Any, value: Any, key: Any) -> Any:
    """Masks as one that broadcasts to (batch, heads, queries, keys)."""
    parts = []
    if attention is not None:
        mask = np.not_equal(attention, 0)
        parts.append(mask if len(mask.shape) == 4 else mask[..., None, :, :])
    if query is not None:
        parts.append(query[:, None, :, None])
    parts += [mask[:, None, None, :] for mask in (value, key) if mask is not None]
    out = None
    for part in parts:
        out = part if out is None else np.logical_and(out, part)
    return out


def _scored(q: Any, k: Any, v: Any, allowed: Any, causal: bool, rate: float, noise: Any) -> tuple[Any, Any]:
    """Attention that also gives its weights, (batch, heads, queries, keys)."""
    logits = np.einsum("bqhd,bkhd->bhqk", q * np.float32(q.shape[-1] ** -0.5), k)
    if causal:
        past = np.tril(np.ones(logits.shape[-2:], bool))
        allowed = past if allowed is None else np.logical_and(allowed, past)
    if allowed is not None:
        logits = np.where(allowed, logits, np.float32(-1e9))
    weights = nn.softmax(logits)
    if rate:
        weights = dropout(noise, weights, rate)
    return np.einsum("bhqk,bkhe->bqhe", weights, v), weights


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
        query, value = inputs[0], inputs[1]
        scores = self.scores(query, inputs[2] if len(inputs) > 2 else value)
        seen, asked = (None, None) if mask is None else (mask[1], mask[0])
        allowed = None if seen is None else seen[:, None, :]
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
