"""Reading ahead: a thread fills one buffer with minibatches while native code trains on the other.

The two change places when the trainer is done with its own, so it waits only where reading is slower than training;
then it takes what is there, since the program can end before any batch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from chainrule.compiler.effort import OFTEN

_BYTES = 4 << 20  # of one buffer, unless a batch is larger
_LARGE = 64 << 20
_MOST = 4096  # batches of one buffer
_PATIENCE = 0.002  # seconds to wait for a buffer to become full

Stops = Callable[[int], int]


class Piece(NamedTuple):
    """What is trained on at once: the first ``batches`` of the buffers, or, if that is 0, the whole arrays as one."""

    arrays: tuple[np.ndarray, ...]
    batches: int

    @property
    def samples(self) -> int:
        """The rows of an odd batch."""
        return len(self.arrays[0])


class Reader:
    """Batches from ``blocks``, read by a thread.

    Args:
        blocks: checked arrays, the same number of rows in each.
        batch: rows of a batch; None if each block is a batch, the first of which then says how many rows are usual.
        stops: the number of steps after a step at which the trainer has to stop: no piece goes beyond.
        first: the number of the first step.
        own: whether the blocks are batches as they are, although ``batch`` is known.
        buffers: those of an earlier pass over the same kind of data, to be used again; filled in if empty.
        steps: how many there are, as far as that is known.
    """

    def __init__(self, blocks: Iterator[tuple[np.ndarray, ...]], batch: int | None, stops: Stops | None = None,
                 first: int = 0, own: bool = False, buffers: list[tuple[np.ndarray, ...]] | None = None,
                 steps: int | None = None) -> None:
        self.batch = batch
        self._parts = _parts(blocks, self) if own or batch is None else _cut(blocks, batch)
        self._stops, self._step, self._steps = stops, first, steps
        self._buffers = [] if buffers is None else buffers
        self._current = self._filled = self._room = 0
        self._odd: tuple[np.ndarray, ...] | None = None
        self._ended = self._closed = False
        self._error: BaseException | None = None
        self._change = threading.Condition()
        self._begin(0)
        self._thread = threading.Thread(target=self._work, name="chainrule-reader", daemon=True)
        self._thread.start()

    def take(self, patient: Callable[[], bool] = lambda: True) -> Piece | None:
        """The next batches; None at the end. The piece taken before is given back.

        Args:
            patient: asked while waiting; the answer False ends the wait with None.

        Raises:
            Whatever reading raised, after the batches before it.
        """
        with self._change:
            self._change.wait_for(self._is_ready, _PATIENCE)
            while not (self._filled or self._is_ready()):
                if not patient():
                    return None
                self._change.wait(0.05)
            if self._filled:
                piece = Piece(self._buffers[self._current], self._filled)
                self._step += self._filled
                self._begin(1 - self._current)
            elif self._odd is not None:
                piece = Piece(self._odd, 0)
                self._odd = None
                self._step += 1
                self._begin(self._current)
            else:
                if self._error is not None:
                    raise self._error
                return None
            self._change.notify_all()
            return piece

    def close(self) -> None:
        """End the thread; what it has read is dropped."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._thread.join(5)  # it may be in a generator that takes its time

    def _is_ready(self) -> bool:
        full = bool(self._buffers) and self._filled == self._room
        return full or self._odd is not None or self._ended

    def _begin(self, which: int) -> None:
        """Fill the buffer ``which`` from its start, up to the next stop."""
        self._current, self._filled = which, 0
        if self._buffers:
            assert self.batch is not None
            self._room = len(self._buffers[0][0]) // self.batch
        if self._stops is not None:
            self._room = min(self._room, self._stops(self._step) - self._step)

    def _work(self) -> None:
        try:
            for arrays, count in self._parts:
                if not self._hand_over(arrays, count):
                    return
        except BaseException as error:
            self._error = error
        finally:
            if hasattr(self._parts, "close"):
                self._parts.close()
            with self._change:
                self._ended = True
                self._change.notify_all()

    def _hand_over(self, arrays: tuple[np.ndarray, ...], count: int) -> bool:
        """Put whole batches into the buffers, or one odd batch beside them; False if nobody wants them any more."""
        at = 0
        while at < max(count, 1):
            with self._change:
                self._change.wait_for(lambda: self._closed or self._has_room(bool(count)))
                if self._closed:
                    return False
                if not count:
                    self._odd, at = arrays, 1
                else:
                    at += self._fill(arrays, at, count)
                self._change.notify_all()
        return True

    def _has_room(self, whole: bool) -> bool:
        # an odd batch comes after all that stands before it, and nothing comes after it before it is taken
        if self._odd is not None:
            return False
        return not self._buffers or self._filled < self._room if whole else True

    def _fill(self, arrays: tuple[np.ndarray, ...], at: int, count: int) -> int:
        batch = self.batch
        assert batch is not None
        if not self._buffers:
            size = sum(a[:batch].nbytes for a in arrays)
            room = _room(size, self._steps)
            self._buffers += [tuple(np.zeros((room * batch, *a.shape[1:]), a.dtype) for a in arrays) for _ in range(2)]
            self._begin(0)
        many = min(count - at, self._room - self._filled)
        for to, source in zip(self._buffers[self._current], arrays, strict=True):
            to[self._filled * batch:(self._filled + many) * batch] = source[at * batch:(at + many) * batch]
        self._filled += many
        return many


def _room(size: int, steps: int | None) -> int:
    """The batches of a buffer, for batches of ``size`` bytes.

    The compiler writes loops of fewer than 100 turns with less effort, which may round otherwise: a buffer has room for
    as many if there are as many steps, so that the numbers are those of training on arrays in memory.
    """
    room = max(2, min(_BYTES // max(size, 1), _MOST))  # a loop of one turn would be another program
    if steps is not None and steps < OFTEN:
        return max(2, min(room, steps))
    return max(room, OFTEN) if OFTEN * size <= _LARGE else room


def _parts(blocks: Iterator[tuple[np.ndarray, ...]], reader: Reader) -> Iterator[tuple[tuple[np.ndarray, ...], int]]:
    """Blocks that are batches: each with 1, or with 0 where it has another size than the first."""
    for arrays in blocks:
        if reader.batch is None:
            reader.batch = len(arrays[0])
        yield arrays, int(len(arrays[0]) == reader.batch)


def _cut(blocks: Iterator[tuple[np.ndarray, ...]], batch: int) -> Iterator[tuple[tuple[np.ndarray, ...], int]]:
    """Blocks of any length cut to whole batches; the rest, at the end, is an odd one."""
    kept: tuple[np.ndarray, ...] = ()
    for arrays in blocks:
        if kept and len(kept[0]):
            arrays = tuple(np.concatenate(pair) for pair in zip(kept, arrays, strict=True))
        count = len(arrays[0]) // batch
        if count:
            yield arrays, count
        kept = tuple(a[count * batch:] for a in arrays)
    if kept and len(kept[0]):
        yield kept, 0


__all__ = ["Piece", "Reader"]
