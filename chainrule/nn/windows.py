"""Where a sliding window stands: what convolution and pooling share.

Positions are counted on the spatial axes only: those between the batch and the channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, ShapeError
from chainrule.numpy.common import transposed
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Traced
from chainrule.ops.structure import pad
from chainrule.ops.windows import windows as sliding

Padding = str | int | Sequence[Any]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """Windows over an input of extents ``extents``, padded by ``pads``: one result for each position of the window."""

    extents: tuple[int, ...]
    window: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: tuple[Pair, ...]

    @property
    def padded_extents(self) -> tuple[int, ...]:
        """Those of the input after padding."""
        return tuple(n + lo + hi for n, (lo, hi) in zip(self.extents, self.pads, strict=True))

    def padded(self, x: Any, value: float = 0.0) -> Any:
        """The input (batch, *extents, channels) padded with ``value``; itself where nothing is added."""
        if all(p == (0, 0) for p in self.pads):
            return x
        shape = (x.shape[0], *self.padded_extents, x.shape[-1])
        placed = {"start": (0, *(lo for lo, _ in self.pads), 0), "step": (1,) * len(shape), "shape": shape}
        out = pad(x, **placed)
        if value == 0.0:
            return out
        inside = pad(np.ones(x.shape[1:-1], bool), start=placed["start"][1:-1], step=(1,) * len(self.extents),
                     shape=self.padded_extents)
        return ew.select(inside[..., None], out, value)

    def seen(self, padded: Any) -> Any:
        """What the window sees at each position: (batch, *results, *window, …)."""
        return sliding(padded, axes=tuple(range(1, len(self.window) + 1)), window=self.window, stride=self.stride,
                       dilation=self.dilation)


def windows(name: str, extents: tuple[int, ...], window: tuple[int, ...], stride: tuple[int, ...],
            dilation: tuple[int, ...], padding: Padding) -> Windows:
    """Windows with ``padding`` in one of its forms; an error where none fits into the input."""
    pads = padding_pairs(name, padding, extents, window, stride, dilation)
    out = Windows(extents, window, stride, dilation, pads)
    if any(n < r for n, r in zip(out.padded_extents, reaches(window, dilation), strict=True)):
        raise ShapeError.of(f"the function {name} got a window of {reaches(window, dilation)} for extents {extents} "
                            f"(padded: {out.padded_extents})", "a window that fits into the input", "padding='same'")
    return out


def reaches(window: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    """How many positions a window covers from its first to its last element."""
    return tuple((k - 1) * d + 1 for k, d in zip(window, dilation, strict=True))


def padding_pairs(name: str, padding: Padding, extents: tuple[int, ...], window: tuple[int, ...],
                  stride: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[Pair, ...]:
    """What is added before and after each spatial axis."""
    reach = reaches(window, dilation)
    if isinstance(padding, str):
        kind = padding.lower()
        if kind == "valid":
            return ((0, 0),) * len(extents)
        if kind == "same":
            return tuple(same_pair(n, r, s) for n, r, s in zip(extents, reach, stride, strict=True))
        if kind == "causal" and len(extents) == 1:
            return ((reach[0] - 1, 0),)
    else:
        given = (padding,) * len(extents) if isinstance(padding, int | np.integer) else tuple(padding)
        pairs = [(p, p) if isinstance(p, int | np.integer) else tuple(p) for p in given]
        if len(pairs) == len(extents) and all(len(p) == 2 and min(p) >= 0 for p in pairs):
            return tuple((int(lo), int(hi)) for lo, hi in pairs)
    raise ArgumentError.of(
        f"the function {name} got padding={padding!r} for {len(extents)} spatial axes",
        "'valid', 'same', 'causal' (one axis), a whole number, or for each axis a whole number or a pair",
        "padding='same'")


def same_pair(extent: int, reach: int, stride: int) -> Pair:
    """TensorFlow's "same": ceil(extent / stride) results, the odd zero after the input."""
    total = max((math.ceil(extent / stride) - 1) * stride + reach - extent, 0)
    return total // 2, total - total // 2


def each(name: str, what: str, value: int | Sequence[int], n: int) -> tuple[int, ...]:
    """A whole number of 1 or more for each of ``n`` spatial axes, given as one or several."""
    numbers = (value,) * n if isinstance(value, int | np.integer) else tuple(value)
    if len(numbers) != n or any(isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1 for k in numbers):
        raise ArgumentError.of(f"the function {name} got {what}={value!r} for {n} spatial axes",
                               f"a whole number above 0, or {n} of them", f"{what}=2")
    return tuple(int(k) for k in numbers)


def channels_last(name: str, x: Any, data_format: str) -> Any:
    """An input (batch, *spatial, channels) of one to three spatial axes, from either format."""
    x = x if isinstance(x, Traced) else np.asarray(x)
    ndim = len(x.shape)
    if not 3 <= ndim <= 5:
        raise ShapeError.of(f"the function {name} got an array of shape {tuple(x.shape)}",
                            "(batch, length, channels), (batch, height, width, channels) or one axis more",
                            f"nn.{name}(x[None])   # one sample is a batch of one")
    if data_format not in ("channels_last", "channels_first"):
        raise ArgumentError.of(f"the function {name} got data_format={data_format!r}",
                               "'channels_last' or 'channels_first'", "data_format='channels_last'")
    return x if data_format == "channels_last" else transposed(x, (0, *range(2, ndim), 1))


def back(x: Any, data_format: str) -> Any:
    """A result (batch, *spatial, channels) in the user's format."""
    ndim = len(x.shape)
    return x if data_format == "channels_last" else transposed(x, (0, ndim - 1, *range(1, ndim - 1)))
