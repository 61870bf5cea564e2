"""Keys, and the random words that are made of a key and a position."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError
from chainrule.numpy.common import positions
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Traced, dtype_of, shape_of
from chainrule.ops.random import threefry
from chainrule.ops.structure import reshape
from chainrule.random.parameters import Shape, extents

_WORD = np.dtype(np.uint32)
_FIRST, _SECOND = np.uint32(0x51ED), np.uint32(0xC0DE)  # the streams of which keys are made


class _Seed:
    """The process-wide seed behind calls that name none: layers' initial weights, shuffling, dropout."""

    generator: np.random.Generator | None = None  # until it is asked for: importing ``np.random`` takes a while


_SEED = _Seed()


def set_seed(seed: int) -> None:
    """Make everything random that follows reproducible: initial weights, shuffling, dropout.

    Example:
        >>> import chainrule as cr
        >>> cr.set_seed(7)
    """
    _SEED.generator = np.random.default_rng(seed)


def generator() -> np.random.Generator:
    """The NumPy generator that :func:`set_seed` seeds."""
    if _SEED.generator is None:
        _SEED.generator = np.random.default_rng()
    return _SEED.generator


def key(seed: int | None = None) -> np.ndarray:
    """A key, uint32 of shape (2,), from a whole number of 0 or more, or the next one of the process-wide seed.

    Example:
        >>> key(42).shape
        (2,)
    """
    if seed is None:
        seed = int(generator().integers(0, 2**63))
    elif isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ArgumentError.of(f"got seed={seed!r}", "a whole number, 0 or more", "random.key(42)")
    return np.random.SeedSequence(int(seed)).generate_state(2, np.uint32)


def fold_in(key: Any, number: Any) -> Any:
    """A key that depends on ``key`` and on a whole ``number``: a step, an epoch, a layer, the index of an example.

    Args:
        key: of shape (2,).
        number: known or traced; it counts modulo 2³². An array of them gives an array of keys, of shape
            ``(*number.shape, 2)``.

    Example:
        >>> step = fold_in(key(1), 7)
        >>> step.shape, fold_in(key(1), np.arange(5)).shape
        ((2,), (5, 2))
    """
    k0, k1 = words_of(key)
    if dtype_of(number).kind not in "iu":
        raise ChainruleTypeError.of(f"fold_in got a number of dtype {dtype_of(number)}", "a whole number",
                                    "random.fold_in(key, step)")
    n = ew.cast(number, dtype=_WORD) if isinstance(number, Traced) else np.asarray(number).astype(_WORD)
    return np.stack([threefry(k0, k1, n, _FIRST), threefry(k0, k1, n, _SECOND)], axis=-1)


def split(key: Any, number: int = 2) -> Any:
    """Several independent keys, of shape ``(number, 2)``.

    Example:
        >>> first, second = split(key(1))
        >>> first.shape
        (2,)
    """
    return fold_in(key, np.arange(number))


def bits(key: Any, shape: Shape = (), dtype: Any = np.uint32, stream: int = 0) -> Any:
    """Random words: every unsigned number of ``dtype`` is equally likely.

    Args:
        key: of shape (2,).
        shape: of the result; up to 2³² elements.
        dtype: uint8, uint16, uint32 or uint64.
        stream: another number gives other words for the same key.

    Example:
        >>> bits(key(1), 3).dtype
        dtype('uint32')
    """
    size, dtype = extents(shape), np.dtype(dtype)
    if dtype.kind != "u":
        raise ChainruleTypeError.of(f"got dtype={dtype} for random bits", "uint8, uint16, uint32 or uint64",
                                    "random.bits(key, shape, np.uint32)")
    words = _words(key, size, 2 * stream if dtype.itemsize == 8 else stream)
    if dtype.itemsize == 8:
        low = ew.cast(_words(key, size, 2 * stream + 1), dtype=dtype)
        return ew.bit_or(ew.shift_left(ew.cast(words, dtype=dtype), np.uint64(32)), low)
    return words if dtype == _WORD else ew.cast(ew.shift_right(words, np.uint32(32 - 8 * dtype.itemsize)), dtype=dtype)


def _words(key: Any, shape: tuple[int, ...], stream: int) -> Any:
    k0, k1 = words_of(key)
    n = math.prod(shape)
    if n > 2**32:
        raise ShapeError.of(f"{n} random numbers of one key", "2³² at most", "random.fold_in(key, part)")
    return reshape(threefry(k0, k1, positions(key, (n,), 0, _WORD), np.uint32(stream)), shape=shape)


def words_of(key: Any) -> tuple[Any, Any]:
    """The two words of a key."""
    if shape_of(key) != (2,) or dtype_of(key) != _WORD:
        raise ArgumentError.of(f"got a key of dtype {dtype_of(key)} and shape {shape_of(key)}",
                               "one key: uint32 of shape (2,); for many of them cr.vmap", "key = random.key(42)")
    return key[0], key[1]
