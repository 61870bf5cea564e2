"""Counter-based random numbers: the same in reference and compiled mode, whatever the number of threads.

A *key* is two uint32 words. Numbers are a function of the key and of the position in the array, computed by
Threefry-2x32 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.ops.declare import Op, elementwise

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def _rounds(add: Any, xor: Any, rotate: Any, constant: Any, k0: Any, k1: Any, x0: Any, x1: Any) -> Any:
    """Twenty rounds of Threefry-2x32 in whatever arithmetic the caller brings; the first output word."""
    keys = (k0, k1, xor(xor(k0, k1), constant(_PARITY)))
    x0, x1 = add(x0, k0), add(x1, k1)
    for group in range(5):
        for r in _ROTATIONS[group % 2]:
            x0 = add(x0, x1)
            x1 = xor(rotate(x1, r), x0)
        x0 = add(x0, keys[(group + 1) % 3])
        x1 = add(x1, add(keys[(group + 2) % 3], constant(group + 1)))
    return x0


def _reference(k0: Any, k1: Any, counter: Any, stream: Any) -> Any:
    with np.errstate(over="ignore"):
        return _rounds(np.add, np.bitwise_xor, lambda x, r: (x << np.uint32(r)) | (x >> np.uint32(32 - r)), np.uint32,
                       *(np.asarray(v, np.uint32) for v in (k0, k1, counter, stream)))


def _lower(e: Any, k0: Any, k1: Any, counter: Any, stream: Any) -> Any:
    return _rounds(e.add, e.xor, lambda x, r: e.or_(e.shl(x, e.like(x, r)), e.shr(x, e.like(x, 32 - r))),
                   lambda value: e.like(k0, value), k0, k1, counter, stream)


threefry: Op = elementwise(
    "threefry", doc="Random 32 bits from a key (two words), a counter and a stream number, all uint32.",
    reference=_reference, lower=_lower, arity=4, kinds="u")


def _permutation_reference(bits: Any) -> Any:
    order = list(range(len(bits)))
    for i in range(len(order) - 1, 0, -1):
        j = (int(bits[i]) * (i + 1)) >> 32
        order[i], order[j] = order[j], order[i]
    return np.array(order, dtype=np.int64)


def _lower_permutation(e: Any, source: Any, target: Any, shape: tuple[int, ...]) -> None:
    """Fisher-Yates: swap every element from the last down with one at or below it."""
    n = shape[0]
    int64 = np.dtype(np.int64)
    with e.loop(0, n) as fill:
        e.store(fill.index, e.at(target, fill.index, int64))
    with e.loop(1, n) as down:
        i = e.sub(e.index(n), down.index)
        word = e.cast(e.load(e.at(source, i, np.dtype(np.uint32)), np.dtype(np.uint32)), int64)
        j = e.shr(e.mul(word, e.add(i, e.index(1))), e.index(32))
        at_i, at_j = e.at(target, i, int64), e.at(target, j, int64)
        x, y = e.load(at_i, int64), e.load(at_j, int64)
        e.store(y, at_i)
        e.store(x, at_j)


shuffled: Op = Op(
    "shuffled", "0 … n-1 in random order, from n random words (Fisher and Yates; Durstenfeld 1964).", "custom",
    infer=lambda bits: (bits[0], np.dtype(np.int64)), reference=_permutation_reference, lower=_lower_permutation)
