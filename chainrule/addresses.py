"""Where the elements of arrays lie, and memory that begins at a cache line.

NumPy's own arrays begin 16 bytes behind one. So every second or every load of a vector straddles two lines: a step of a
large dense network takes 5 % longer.
"""

from __future__ import annotations

import ctypes
import sys
from itertools import cycle
from math import prod
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError

HEAD = object.__basicsize__  # bytes of a Python object before the fields of its type
LINE, PAGE = 64, 4096  # bytes
LONG = 16 << 10  # bytes of an array from which on it matters
_places = cycle(range(0, PAGE, PAGE // 8))


def _objects_have_addresses() -> bool:
    """Whether ``id`` is the address of an array object, and the address of its elements is its first field."""
    probe = np.zeros(1)
    return sys.implementation.name == "cpython" and \
        ctypes.c_void_p.from_address(id(probe) + HEAD).value == probe.ctypes.data


DIRECT = _objects_have_addresses()
_field = ctypes.c_void_p.from_address


def address(array: np.ndarray) -> int:
    """Where the elements of an array begin; ``array.ctypes.data`` takes seven times as long."""
    return (_field(id(array) + HEAD).value or 0) if DIRECT else int(array.ctypes.data)


def room(size: int) -> np.ndarray:
    """So many bytes from the start of a cache line on, whatever they hold.

    Longer ones begin at different places of a page, one after the other. Processors tell loads from stores before them
    by the place in the page: a loop over vectors that all begin at the same place, such as an optimizer's, took up to
    1.5 times as long.
    """
    if size < PAGE // 4:
        raw = np.empty(size + LINE, np.uint8)
        start = -address(raw) % LINE
    else:
        raw = np.empty(size + PAGE, np.uint8)
        start = (next(_places) - address(raw)) % PAGE
    return raw[start:start + size]


def aligned(array: Any) -> np.ndarray:
    """A copy of an array that begins at a cache line, which compiled code reads and writes faster.

    For large arrays that :meth:`jit(f).bind <chainrule.runtime.Jitted.bind>` ties a function to. Results of compiled
    functions begin at one anyway, and so do weights of models.

    Args:
        array: anything that NumPy makes an array of, but of Python objects; the copy is contiguous.

    Raises:
        ArgumentError: for an array of Python objects.

    Example:
        >>> import chainrule as cr
        >>> weights = cr.aligned(np.ones((300, 200), np.float32))
        >>> weights.shape, weights.ctypes.data % 64
        ((300, 200), 0)
    """
    array = np.asarray(array)
    if array.dtype.hasobject:
        raise ArgumentError.of(f"cr.aligned got an array of dtype {array.dtype}", "numbers or bools",
                               "cr.aligned(np.asarray(x, np.float32))")
    out = room(array.nbytes).view(array.dtype).reshape(array.shape)
    out[...] = array
    return out


def result(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of any elements; a long one begins at a cache line."""
    size = prod(shape) * dtype.itemsize
    return np.empty(shape, dtype) if size < LONG else room(size).view(dtype).reshape(shape)


def straddles(array: np.ndarray) -> bool:
    """Whether an array is long and begins elsewhere."""
    return array.nbytes >= LONG and address(array) % LINE != 0
