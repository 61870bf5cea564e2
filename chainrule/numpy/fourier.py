"""The Fourier transforms of ``np.fft``, all made of one linear operation; NumPy computes it (``ops/host.py``)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.errors import ArgumentError
from chainrule.numpy.assembly import roll
from chainrule.numpy.common import array, axis_of, records, sliced
from chainrule.ops import elementwise as ew
from chainrule.ops import structure
from chainrule.ops.declare import convert
from chainrule.ops.host import fft as transform
from chainrule.trace import COMPLEX, no_out

_Axes = Sequence[int] | None


def _along(x: Any, n: int | None, axis: int, norm: str | None, inverse: bool) -> Any:
    """One complex transform along an axis, the array cut or filled with zeros to ``n`` there."""
    x = _fitted(convert(x, dtypes.complex_of(x.dtype)), n, axis)
    return _scaled(transform(x, axis=axis_of(axis, len(x.shape)), inverse=inverse), x.shape[axis], norm, inverse)


def _fitted(x: Any, n: int | None, axis: int) -> Any:
    axis = axis_of(axis, len(x.shape))
    have = x.shape[axis]
    n = have if n is None else int(n)
    if n < 1:
        raise ArgumentError.of(f"a Fourier transform of {n} points", "1 or more", "np.fft.fft(x, n=8)")
    if n <= have:
        return sliced(x, axis, 0, n)
    shape = tuple(n if i == axis else extent for i, extent in enumerate(x.shape))
    return structure.pad(x, shape=shape, start=(0,) * len(shape), step=(1,) * len(shape))


def _scaled(x: Any, n: int, norm: str | None, inverse: bool) -> Any:
    if norm not in (None, "backward", "ortho", "forward"):
        raise ArgumentError.of(f"norm={norm!r}", "'backward', 'ortho' or 'forward'", "np.fft.fft(x, norm='ortho')")
    if norm == "ortho":
        return ew.mul(x, 1 / math.sqrt(n))
    return ew.mul(x, 1 / n) if (norm == "forward") != inverse else x


def _halved(x: Any, axis: int) -> Any:
    """The first half of a spectrum, which tells all of a real signal."""
    return sliced(x, axis_of(axis, len(x.shape)), 0, x.shape[axis] // 2 + 1)


def _whole(x: Any, n: int, axis: int) -> Any:
    """The whole spectrum of a real signal of ``n`` points from its first half."""
    axis = axis_of(axis, len(x.shape))
    half = _fitted(x, n // 2 + 1, axis)
    mirrored = structure.flip(ew.conj(sliced(half, axis, 1, (n + 1) // 2)), axes=(axis,))
    return structure.concatenate(half, mirrored, axis=axis)


def _real(a: Any, out: Any, name: str) -> Any:
    no_out(f"np.fft.{name}", out)
    a = array(a)
    if a.dtype.kind == "c":
        raise ArgumentError.of(f"np.fft.{name} got complex numbers", "real ones", "np.fft.fft(x)")
    return a


@records(np.fft.fft)
def fft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Any:
    """The discrete Fourier transform along an axis."""
    no_out("np.fft.fft", out)
    return _along(array(a), n, axis, norm, False)


@records(np.fft.ifft)
def ifft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Any:
    """The inverse of :func:`fft`."""
    no_out("np.fft.ifft", out)
    return _along(array(a), n, axis, norm, True)


@records(np.fft.rfft)
def rfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Any:
    """The first half of the transform of real numbers; the other mirrors it."""
    return _halved(_along(_real(a, out, "rfft"), n, axis, norm, False), axis)


@records(np.fft.irfft)
def irfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Any:
    """The inverse of :func:`rfft`: real numbers, ``n`` of them (by default 2 (m - 1) for m given)."""
    no_out("np.fft.irfft", out)
    a = array(a)
    n = 2 * (a.shape[axis] - 1) if n is None else int(n)
    return ew.real(_along(_whole(convert(a, dtypes.complex_of(a.dtype)), n, axis), n, axis, norm, True))


_SWAPPED = {None: "forward", "backward": "forward", "ortho": "ortho", "forward": "backward"}


@records(np.fft.hfft)
def hfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Any:
    """The real transform of a signal that mirrors itself, of which the first half is given."""
    a = array(a)
    return irfft(ew.conj(convert(a, dtypes.complex_of(a.dtype))), n, axis, _SWAPPED.get(norm, norm), out)


@records(np.fft.ihfft)
def ihfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Any:
    """The inverse of :func:`hfft`."""
    return ew.conj(rfft(_real(a, out, "ihfft"), n, axis, _SWAPPED.get(norm, norm)))


# ---------------------------------------------------------------- several axes


def _extents(a: Any, s: _Axes, axes: _Axes) -> list[tuple[int | None, int]]:
    """Pairs of points (None for all) and axis."""
    if axes is None:
        axes = range(len(a.shape)) if s is None else range(len(a.shape) - len(s), len(a.shape))
    points = [None] * len(axes) if s is None else [None if n == -1 else n for n in s]
    if len(points) != len(axes):
        raise ArgumentError.of(f"{len(points)} extents for {len(axes)} axes", "as many", "np.fft.fftn(x, s=(8, 8))")
    return list(zip(points, axes, strict=True))


def _each(one: Callable[..., Any], a: Any, pairs: Sequence[tuple[int | None, int]], norm: str | None) -> Any:
    for n, axis in reversed(pairs):
        a = one(a, n, axis, norm)
    return a


@records(np.fft.fftn)
def fftn(a: Any, s: _Axes = None, axes: _Axes = None, norm: str | None = None, out: Any = None) -> Any:
    """The transform along several axes, all by default."""
    no_out("np.fft.fftn", out)
    a = array(a)
    return _each(fft, a, _extents(a, s, axes), norm) if len(a.shape) and axes != () else convert(
        a, dtypes.complex_of(a.dtype))


@records(np.fft.ifftn)
def ifftn(a: Any, s: _Axes = None, axes: _Axes = None, norm: str | None = None, out: Any = None) -> Any:
    """The inverse of :func:`fftn`."""
    no_out("np.fft.ifftn", out)
    a = array(a)
    return _each(ifft, a, _extents(a, s, axes), norm) if len(a.shape) and axes != () else convert(
        a, dtypes.complex_of(a.dtype))


@records(np.fft.rfftn)
def rfftn(a: Any, s: _Axes = None, axes: _Axes = None, norm: str | None = None, out: Any = None) -> Any:
    """The half transform of real numbers along the last axis, the whole one along the others."""
    a = _real(a, out, "rfftn")
    *rest, (n, axis) = _extents(a, s, axes)
    return _each(fft, rfft(a, n, axis, norm), rest, norm)


@records(np.fft.irfftn)
def irfftn(a: Any, s: _Axes = None, axes: _Axes = None, norm: str | None = None, out: Any = None) -> Any:
    """The inverse of :func:`rfftn`."""
    no_out("np.fft.irfftn", out)
    a = array(a)
    *rest, (n, axis) = _extents(a, s, axes)
    return irfft(_each(ifft, a, rest, norm), n, axis, norm)


def _of_two(name: str, several: Callable[..., Any]) -> None:
    def rule(a: Any, s: _Axes = None, axes: _Axes = (-2, -1), norm: str | None = None, out: Any = None) -> Any:
        return several(a, s, axes, norm, out)
    records(getattr(np.fft, name))(rule)


for _name, _several in (("fft2", fftn), ("ifft2", ifftn), ("rfft2", rfftn), ("irfft2", irfftn)):
    _of_two(_name, _several)


# ---------------------------------------------------------------- order of frequencies


def _shifted(x: Any, axes: Any, inverse: bool) -> Any:
    x = array(x)
    axes = range(len(x.shape)) if axes is None else (axes,) if isinstance(axes, int | np.integer) else axes
    axes = [axis_of(axis, len(x.shape)) for axis in axes]
    by = [-(x.shape[axis] // 2) if inverse else x.shape[axis] // 2 for axis in axes]
    return roll(x, tuple(by), tuple(axes)) if axes else x


@records(np.fft.fftshift)
def fftshift(x: Any, axes: Any = None) -> Any:
    """Frequency 0 moved to the middle."""
    return _shifted(x, axes, False)


@records(np.fft.ifftshift)
def ifftshift(x: Any, axes: Any = None) -> Any:
    """The inverse of :func:`fftshift`."""
    return _shifted(x, axes, True)


COMPLEX.update(getattr(np.fft, name) for name in (
    "fft ifft rfft irfft hfft ihfft fftn ifftn rfftn irfftn fft2 ifft2 rfft2 irfft2 fftshift ifftshift").split())
