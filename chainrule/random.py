"""Random arrays from counter-based keys. A key is a uint32 array of shape (2,), made by :func:`key`.

The same key gives the same numbers in reference and compiled mode; use :func:`split` or :func:`fold_in` for more.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Traced
from chainrule.ops.random import shuffled, threefry
from chainrule.ops.structure import reshape
from chainrule.trace import FUNCTIONS, recorded_iota

_WORD = np.dtype(np.uint32)


class _Seed:
    """The process-wide seed behind calls that name none: layers' initial weights, shuffling, dropout."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng()


_SEED = _Seed()


def set_seed(seed: int) -> None:
    """Make everything random that follows reproducible: initial weights, shuffling, dropout.

    >>> import chainrule as cr
    >>> cr.set_seed(7)
    """
    _SEED.generator = np.random.default_rng(seed)


def generator() -> np.random.Generator:
    """The NumPy generator that :func:`set_seed` seeds."""
    return _SEED.generator


def key(seed: int | None = None) -> np.ndarray:
    """A key from a whole number, or the next one of the process-wide seed."""
    if seed is None:
        seed = int(generator().integers(0, 2**63))
    words = np.random.SeedSequence(seed).generate_state(2, np.uint32)
    return words.astype(_WORD)


def fold_in(key: Any, number: Any) -> Any:
    """A key that depends on ``key`` and a whole ``number`` (a step, an epoch, a layer)."""
    n = ew.cast(number, dtype=_WORD) if isinstance(number, Traced) else np.asarray(number).astype(_WORD)
    first = threefry(key[0], key[1], n, np.uint32(0x51ED))
    second = threefry(key[0], key[1], n, np.uint32(0xC0DE))
    return FUNCTIONS[np.stack]([first, second]) if isinstance(first, Traced) else np.stack([first, second])


def split(key: Any, number: int = 2) -> list[Any]:
    """Several independent keys."""
    return [fold_in(key, i) for i in range(number)]


def bits(key: Any, shape: tuple[int, ...], stream: int = 0) -> Any:
    """Random uint32 words."""
    shape = tuple(shape)
    n = int(np.prod(shape))
    counter = recorded_iota(n, _WORD) if isinstance(key, Traced) else np.arange(n, dtype=_WORD)
    words = threefry(key[0], key[1], counter, np.uint32(stream))
    return reshape(words, shape=shape)


def uniform(key: Any, shape: tuple[int, ...], dtype: Any = np.float32, low: float = 0.0, high: float = 1.0) -> Any:
    """Numbers in [low, high)."""
    unit = _unit(key, tuple(shape), np.dtype(dtype))
    if (low, high) == (0.0, 1.0):
        return unit
    return ew.add(ew.mul(unit, np.asarray(high - low, dtype)), np.asarray(low, dtype))


def _unit(key: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """Numbers in [0, 1) with as many random bits as the dtype's significand holds: each is exact and below 1."""
    top = ew.shift_right(bits(key, shape), np.uint32(8 if dtype.itemsize == 4 else 5))
    if dtype.itemsize == 4:
        return ew.mul(ew.cast(top, dtype=dtype), np.asarray(2.0**-24, dtype))
    low = ew.shift_right(bits(key, shape, stream=1), np.uint32(6))
    whole = ew.add(ew.mul(ew.cast(top, dtype=dtype), 2.0**26), ew.cast(low, dtype=dtype))
    return ew.mul(whole, np.asarray(2.0**-53, dtype))


def bernoulli(key: Any, probability: float, shape: tuple[int, ...]) -> Any:
    """True with the given probability."""
    limit = min(int(round(probability * 2**32)), 2**32 - 1)
    return ew.lt(bits(key, shape), np.uint32(limit)) if probability < 1 else ew.ge(bits(key, shape), np.uint32(0))


def normal(key: Any, shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
    """Standard normal numbers (Box and Muller 1958)."""
    u = uniform(fold_in(key, 1), shape, dtype)
    angle = uniform(fold_in(key, 2), shape, dtype)
    radius = ew.sqrt(ew.mul(ew.log1p(ew.neg(u)), np.asarray(-2.0, dtype)))
    return ew.mul(radius, ew.cos(ew.mul(angle, np.asarray(2 * np.pi, dtype))))


def permutation(key: Any, n: int) -> Any:
    """0 … n-1 in random order (int64)."""
    return shuffled(bits(key, (n,)))


__all__ = ["bernoulli", "bits", "fold_in", "generator", "key", "normal", "permutation", "set_seed", "split", "uniform"]
