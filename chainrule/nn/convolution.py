"""Convolution over one to three spatial axes, and its transpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.arguments import whole
from chainrule.dtypes import FLOAT32, is_half
from chainrule.errors import ArgumentError, ShapeError
from chainrule.nn.windows import Padding, Pair, Windows, back, channels_last, each, reaches, windows
from chainrule.numpy.products import labelled
from chainrule.ops.declare import Traced, common_dtype, convert
from chainrule.ops.structure import reshape, slice_
from chainrule.ops.windows import fold

Extents = int | Sequence[int]
_GROUP, _IN, _OUT, _PLACE = 100, 101, 102, 103  # labels of a contraction


def conv(x: Any, kernel: Any, stride: Extents = 1, padding: Padding = "valid", dilation: Extents = 1, groups: int = 1,
         data_format: str = "channels_last") -> Any:
    """``out[p] = Σ_k x[p * stride + k * dilation] · kernel[k]``: summed over the window and the input's channels.

    As in Keras this is a correlation: the kernel is not flipped.

    Args:
        x: (batch, *spatial, in) with one to three spatial axes; with ``channels_first`` (batch, in, *spatial).
        kernel: (*window, in / groups, out).
        stride: the step between positions, for all spatial axes or for each.
        padding: "valid" (none), "same" (⌈extent / stride⌉ results, with TensorFlow's choice of sides), "causal" (one
            spatial axis: results see nothing ahead), a number of zeros on both sides, or for each axis one or a pair.
        dilation: the distance between the elements of the window.
        groups: channels in as many groups, each with its own kernels; ``groups=in`` is a depthwise convolution, its
            result has ``out / in`` channels for each of the input, side by side.
        data_format: where the channels are, in ``x`` and in the result.

    Returns:
        (batch, *results, out), or (batch, out, *results).

    Raises:
        ShapeError: extents that do not fit.

    Example:
        >>> from chainrule import nn
        >>> nn.conv(np.arange(5.0).reshape(1, 5, 1), np.array([1.0, -1.0]).reshape(2, 1, 1)).ravel()
        array([-1., -1., -1., -1.])
        >>> nn.conv(np.ones((2, 28, 28, 3)), np.ones((3, 3, 3, 8)), stride=2, padding="same").shape
        (2, 14, 14, 8)
    """
    x, kernel = channels_last("conv", x, data_format), _array(kernel)
    n = len(x.shape) - 2
    _check_kernel("conv", x, kernel, n)
    whole("groups", groups)
    if x.shape[-1] != kernel.shape[-2] * groups or kernel.shape[-1] % groups:
        raise ShapeError.of(
            f"a convolution of {x.shape[-1]} channels with a kernel of shape {tuple(kernel.shape)} and groups={groups}",
            "a kernel of shape (*window, in / groups, out), out a multiple of groups",
            f"kernel of shape {(*kernel.shape[:n], x.shape[-1], kernel.shape[-1])}")
    over = windows("conv", tuple(x.shape[1:-1]), tuple(kernel.shape[:n]), each("conv", "stride", stride, n),
                   each("conv", "dilation", dilation, n), padding)
    return back(_convolved(x, kernel, over, groups), data_format)


def conv_transpose(x: Any, kernel: Any, stride: Extents = 1, padding: Padding = "valid", dilation: Extents = 1,
                   output_padding: Extents | None = None, data_format: str = "channels_last") -> Any:
    """The transpose of :func:`conv`: what its derivative does to a cotangent. Extents grow by the stride.

    Args:
        x: (batch, *spatial, in); with ``channels_first`` (batch, in, *spatial).
        kernel: (*window, out, in), as in Keras.
        stride: how far apart the window's positions are in the result.
        padding: that of the convolution which this transposes. "valid": results of ``(n - 1) * stride + reach``, or
            ``n * stride`` if that is more; "same": ``n * stride``; numbers or pairs are cut from the "valid" result.
        dilation: the distance between the elements of the window.
        output_padding: further results at the end, below the stride, instead of the extents above: as in Keras these
            are then ``(n - 1) * stride + reach - cut + output_padding``, where "same" cuts down to ``reach % 2``.
        data_format: where the channels are, in ``x`` and in the result.

    Returns:
        (batch, *results, out), or (batch, out, *results).

    Example:
        >>> from chainrule import nn
        >>> nn.conv_transpose(np.array([1.0, 2.0]).reshape(1, 2, 1), np.ones((3, 1, 1)), stride=2).ravel()
        array([1., 1., 3., 2., 2.])
    """
    x, kernel = channels_last("conv_transpose", x, data_format), _array(kernel)
    n = len(x.shape) - 2
    _check_kernel("conv_transpose", x, kernel, n)
    if x.shape[-1] != kernel.shape[-1]:
        raise ShapeError.of(
            f"a transposed convolution of {x.shape[-1]} channels with a kernel of shape {tuple(kernel.shape)}",
            "a kernel of shape (*window, out, in)", "np.swapaxes(kernel, -1, -2)")
    window, extents = tuple(kernel.shape[:n]), tuple(x.shape[1:-1])
    steps, gaps = each("conv_transpose", "stride", stride, n), each("conv_transpose", "dilation", dilation, n)
    more = (None,) * n if output_padding is None else _more(output_padding, steps)
    kept = [_transposed_span(padding, i, n, extents[i], reach, steps[i], more[i])
            for i, reach in enumerate(reaches(window, gaps))]
    return back(_spread(x, kernel, kept, steps, gaps), data_format)


def _convolved(x: Any, kernel: Any, over: Windows, groups: int) -> Any:
    """Every convolution: a contraction of what the window sees at each position with the kernel.

    Half types add up in float32 and round once, as in all sums.
    """
    dtype = common_dtype((x, kernel))
    if is_half(dtype):
        return convert(_convolved(convert(x, FLOAT32), convert(kernel, FLOAT32), over, groups), dtype)
    n = len(over.window)
    padded, places = over.padded(x), tuple(range(_PLACE, _PLACE + n))
    lead = tuple(range(n + 1))
    if groups == 1:
        return labelled(over.seen(padded), kernel, (*lead, *places, _IN), (*places, _IN, _OUT), (*lead, _OUT))
    inner, outer = kernel.shape[n], kernel.shape[n + 1] // groups
    seen = over.seen(reshape(padded, shape=(*padded.shape[:-1], groups, inner)))
    kernels = reshape(kernel, shape=(*over.window, inner, groups, outer))
    out = labelled(seen, kernels, (*lead, *places, _GROUP, _IN), (*places, _IN, _GROUP, _OUT), (*lead, _GROUP, _OUT))
    return reshape(out, shape=(*out.shape[:n + 1], groups * outer))


def _spread(x: Any, kernel: Any, kept: Sequence[Pair], stride: tuple[int, ...], dilation: tuple[int, ...]) -> Any:
    """The transpose: each element of ``x`` times the kernel is added to the places of its window.

    ``kept``: for each axis the first place of the result, and the place behind the last.
    """
    dtype = common_dtype((x, kernel))
    if is_half(dtype):
        return convert(_spread(convert(x, FLOAT32), convert(kernel, FLOAT32), kept, stride, dilation), dtype)
    n = len(kept)
    lead, places = tuple(range(n + 1)), tuple(range(_PLACE, _PLACE + n))
    terms = labelled(x, kernel, (*lead, _IN), (*places, _OUT, _IN), (*lead, *places, _OUT))
    reach = reaches(tuple(kernel.shape[:n]), dilation)
    extents = [max((m - 1) * s + r if m else 0, stop)
               for m, s, r, (_, stop) in zip(x.shape[1:-1], stride, reach, kept, strict=True)]
    whole = fold(terms, shape=(x.shape[0], *extents, kernel.shape[n]), axes=lead[1:], stride=stride, dilation=dilation)
    return slice_(whole, start=(0, *(a for a, _ in kept), 0), step=(1,) * (n + 2),
                  stop=(x.shape[0], *(b for _, b in kept), kernel.shape[n]))


def _transposed_span(padding: Padding, axis: int, n: int, extent: int, reach: int, stride: int,
                     more: int | None) -> Pair:
    """The first place of the result among all that the windows at every position reach, and the one behind its last."""
    full = (extent - 1) * stride + reach if extent else 0
    if isinstance(padding, str):
        kind = padding.lower()
        if kind not in ("valid", "same"):
            raise ArgumentError.of(f"the function conv_transpose got padding={padding!r}",
                                   "'valid', 'same', or numbers", "padding='same'")
        if kind == "valid":
            return 0, full + (max(stride - reach, 0) if more is None else more)
        result = extent * stride if more is None else (extent - 1) * stride + reach % 2 + more
        cut = max(full - result, 0) // 2
        return cut, cut + result
    given = padding if isinstance(padding, int | np.integer) else padding[axis] if len(padding) == n else None
    pair = (given, given) if isinstance(given, int | np.integer) else tuple(given or ())
    if len(pair) != 2:
        raise ArgumentError.of(f"the function conv_transpose got padding={padding!r} for {n} spatial axes",
                               "a whole number, or for each axis one or a pair", "padding=1")
    if pair[0] >= reach:
        raise ArgumentError.of(f"the function conv_transpose got padding={padding!r} for a window that reaches {reach}",
                               "padding below the window's reach", "padding='valid'")
    return int(pair[0]), full - int(pair[1]) + (more or 0)


def _more(output_padding: Extents, stride: tuple[int, ...]) -> tuple[int, ...]:
    n = len(stride)
    given = (output_padding,) * n if isinstance(output_padding, int | np.integer) else tuple(output_padding)
    if len(given) != n or any(not 0 <= m < s for m, s in zip(given, stride, strict=True)):
        raise ArgumentError.of(f"got output_padding={output_padding!r} with stride {stride}",
                               "from 0 to below the stride", "output_padding=1, stride=2")
    return tuple(int(m) for m in given)


def _check_kernel(name: str, x: Any, kernel: Any, n: int) -> None:
    if len(kernel.shape) != n + 2 or not all(kernel.shape[:n]):
        raise ShapeError.of(f"the function {name} got an input of shape {tuple(x.shape)} (channels last) and a kernel "
                            f"of shape {tuple(kernel.shape)}", f"a kernel of {n + 2} axes: its window, then channels",
                            f"kernel of shape {(*(3,) * n, x.shape[-1], 8)}")


def _array(x: Any) -> Any:
    return x if isinstance(x, Traced) else np.asarray(x)
