"""Data that is not arrays in memory: read a part at a time, by row numbers or in the order in which it comes.

A *source* gives blocks ``(x, y, weights, at)`` of raw samples; ``weights`` is None where samples have none, ``at``
holds the numbers of the rows where they are known. The blocks of a source of rows may have any length, they are cut
into batches later; a source of batches gives what one step trains on.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.arguments import whole
from chainrule.errors import ArgumentError, DataError, UsageError
from chainrule.lazy import lazy
from chainrule.training import frames

futures = lazy("concurrent.futures")

Block = tuple[Any, Any, Any, np.ndarray | None]
Samples = tuple[Any, Any, Any]  # x, y, weights

_BYTES = 1 << 20  # about what is read at a time


@dataclass(frozen=True)
class Order:
    """The order of one epoch.

    Attributes:
        of: gives 0 … n-1 in this order for a number n.
        seed: numbers that are the same whenever the epoch is, for orders of other kinds.
    """

    of: Callable[[int], np.ndarray]
    seed: tuple[int, ...]

    def __call__(self, n: int) -> np.ndarray:
        """0 … n-1 in this order."""
        return self.of(n)


class Source:
    """What ``fit``, ``evaluate`` and ``predict`` read from.

    Attributes:
        own: whether its blocks are the batches of the steps, as they are.
        again: whether it can be gone through more than once.
        samples: how many there are; None if that is not known.
        steps: for a source of batches how many these are; None if that is not known.
        what: what errors call it.
    """

    own = False
    again = True
    samples: int | None = None
    steps: int | None = None
    what = "the data"

    def sample(self) -> Samples:
        """The first samples, to learn shapes from; they still come as part of the blocks."""
        raise NotImplementedError

    def blocks(self, batch: int, order: Order | None, skip: int = 0) -> Iterator[Block]:
        """One pass.

        Args:
            batch: rows that a step takes; a hint.
            order: the order of the rows or batches; None as they lie.
            skip: how many steps to leave out at the beginning.
        """
        raise NotImplementedError

    def passed(self) -> None:
        """Called when an epoch has ended."""


class Rows(Source):
    """Samples that can be read by their numbers: memory maps, HDF5 and Zarr arrays, sparse matrices.

    Read in the order in which arrays in memory would be taken, so that training gives the same numbers.
    """

    def __init__(self, x: Any, y: Any, weights: Any = None) -> None:
        given = _arrays(x, "x"), _arrays(y, "y"), _arrays(weights, "sample_weight")
        arrays, self._structure = tree.flatten(given)
        self._readers = [_rows_of(a) for a in arrays]
        self.samples = int(arrays[0].shape[0])
        self._row = sum(4 * math.prod(a.shape[1:]) for a in arrays)  # bytes
        for a in arrays:
            if a.shape[:1] != arrays[0].shape[:1]:
                raise DataError.of(f"the data x has {self.samples} samples and y has {a.shape[0] if a.shape else 1}",
                                   "one target per sample", f"y = y[:{self.samples}]")
        if not self.samples:
            raise DataError.of(f"the data x is empty (shape {tuple(arrays[0].shape)})", "at least one sample", "")

    def part(self, first: int, last: int) -> Rows:
        """The samples from ``first`` to before ``last``."""
        return _Part(self, first, last)

    def read(self, rows: np.ndarray) -> Samples:
        """The samples of these numbers."""
        x, y, weights = tree.unflatten(self._structure, [read(rows) for read in self._readers])
        return x, y, weights

    def sample(self) -> Samples:
        """The first two."""
        assert self.samples is not None
        return self.read(np.arange(min(2, self.samples)))

    def blocks(self, batch: int, order: Order | None, skip: int = 0) -> Iterator[Block]:
        """Whole batches, as many as make about a mebibyte."""
        assert self.samples is not None
        numbers = np.arange(self.samples) if order is None else order(self.samples)
        many = batch * max(1, _BYTES // max(self._row * batch, 1))
        for at in range(skip * batch, self.samples, many):
            rows = numbers[at:at + many]
            yield (*self.read(rows), rows)


class _Part(Rows):
    def __init__(self, whole: Rows, first: int, last: int) -> None:
        self._of, self._first, self.samples = whole, first, last - first
        self._row = whole._row

    def read(self, rows: np.ndarray) -> Samples:
        return self._of.read(rows + self._first)


class Batches(Source):
    """Batches in the order in which an iterable gives them: generators, PyTorch's ``DataLoader``, data sets."""

    own = True

    def __init__(self, given: Any) -> None:
        self._given = given
        self._fresh: Callable[[], Iterable[Any]] = lambda: given
        self.again = not hasattr(given, "__next__")
        self.what = f"the {type(given).__name__}"
        if self.again and callable(given) and not hasattr(given, "__iter__"):
            self._fresh = given
            self.what = f"what {getattr(given, '__name__', 'the function')}() gives"
        elif hasattr(given, "__len__"):
            self.steps = len(given)
        self._peeked: list[Any] = []

    def sample(self) -> Samples:
        """The first batch."""
        if not self._peeked:
            first = list(itertools.islice(iter(self._fresh()), 1))
            if not first:
                raise DataError.of(f"{self.what} is empty", "at least one batch (x, y)", "yield x, y")
            self._peeked = first
        return _triple(self._peeked[0], self.what)

    def blocks(self, batch: int, order: Order | None, skip: int = 0) -> Iterator[Block]:
        """The batches, from the first one on if they can be gone through again."""
        for item in itertools.islice(self._items(), skip, None):
            yield (*_triple(item, self.what), None)

    def _items(self) -> Iterator[Any]:
        peeked, self._peeked = self._peeked, []
        return iter(self._fresh()) if self.again else itertools.chain(peeked, self._given)


class PyDataset:
    """Batches that are made when they are asked for by their numbers, as in Keras.

    A subclass defines ``__len__`` and ``__getitem__``.

    Args:
        workers: batches that are made at the same time, by threads.
        use_multiprocessing: must be False: batches are made by threads, while native code trains.
        max_queue_size: batches that are made ahead.

    Example:
        >>> class Squares(PyDataset):
        ...     def __len__(self):
        ...         return 10
        ...     def __getitem__(self, index):
        ...         x = np.arange(32.0).reshape(32, 1) + index
        ...         return x, x ** 2
        >>> len(Squares(workers=2))
        10
    """

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        if use_multiprocessing:
            raise ArgumentError.of("use_multiprocessing=True", "threads", f"PyDataset(workers={workers})")
        self.workers, self.use_multiprocessing = whole("workers", workers), False
        self.max_queue_size = whole("max_queue_size", max_queue_size)

    num_batches: int | None = None  # may be a property of a subclass, in place of __len__

    def __len__(self) -> int:
        if self.num_batches is not None:
            return self.num_batches
        raise NotImplementedError(f"{type(self).__name__} does not say how many batches there are: define __len__")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} gives no batches: define __getitem__")

    def on_epoch_begin(self) -> None:
        """Called before each epoch."""

    def on_epoch_end(self) -> None:
        """Called after each epoch."""


class Numbered(Batches):
    """Batches by number: a :class:`PyDataset`, or an object like one. ``fit`` shuffles the order of the batches."""

    def __init__(self, given: Any) -> None:
        super().__init__(given)
        self.again = True
        self.steps = len(given)

    def sample(self) -> Samples:
        """The batch 0."""
        if not self.steps:
            raise DataError.of(f"{self.what} is empty", "at least one batch (x, y)", "def __len__(self): return 10")
        return _triple(self._given[0], self.what)

    def blocks(self, batch: int, order: Order | None, skip: int = 0) -> Iterator[Block]:
        """The batches, made ahead by as many threads as the data set has workers."""
        n = self.steps = len(self._given)
        _hook(self._given, "on_epoch_begin")
        numbers = (np.arange(n) if order is None else order(n))[skip:]
        workers = int(getattr(self._given, "workers", 1) or 1)
        ahead = int(getattr(self._given, "max_queue_size", 10) or 10)
        for item in _made_ahead(lambda i: self._given[int(i)], numbers, workers, ahead):
            yield (*_triple(item, self.what), None)

    def passed(self) -> None:
        """The data set's ``on_epoch_end``."""
        _hook(self._given, "on_epoch_end")


def _hook(given: Any, name: str) -> None:
    getattr(given, name, lambda: None)()


def _made_ahead(make: Callable[[Any], Any], numbers: Iterable[Any], workers: int, ahead: int) -> Iterator[Any]:
    if workers == 1:
        yield from map(make, numbers)
        return
    coming: list[Any] = []
    with futures.ThreadPoolExecutor(workers, "chainrule-batches") as pool:
        for number in numbers:
            coming.append(pool.submit(make, number))
            if len(coming) >= max(workers, ahead):
                yield coming.pop(0).result()
        for future in coming:
            yield future.result()


class Endless(Source):
    """One pass after the other, for epochs of a given number of steps that go on where the last one ended."""

    own = True

    def __init__(self, source: Source, steps: int) -> None:
        self._source, self.steps, self.what = source, steps, source.what
        self._going: Iterator[Block] | None = None
        self._given = 0

    def sample(self) -> Samples:
        """The first batch."""
        return self._source.sample()

    def blocks(self, batch: int, order: Order | None, skip: int = 0) -> Iterator[Block]:
        """The next ``steps`` batches, less those to leave out."""
        assert self.steps is not None
        if self._going is None:
            self._going = self._all(batch)
        return self._counted(skip)

    def leave_out(self, steps: int) -> None:
        """Skip what an earlier run has trained on."""
        if self._going is None:
            self._going = self._all(1)
        for _ in itertools.islice(self._going, steps):
            self._given += 1

    def _counted(self, skip: int) -> Iterator[Block]:
        assert self.steps is not None and self._going is not None
        made = 0
        for block in itertools.islice(self._going, self.steps):
            self._given += 1
            made += 1
            if made > skip:
                yield block
        if made < self.steps:
            raise DataError.of(f"{self.what} ended after {self._given} batches, {made} of the {self.steps} of an epoch",
                               "a generator that goes on, or one that can be made anew",
                               f"steps_per_epoch={made or self._given}   # or a function that makes the generator")

    def _all(self, batch: int) -> Iterator[Block]:
        while True:
            empty = True
            for block in self._source.blocks(batch, None):
                empty = False
                yield block
            self._source.passed()
            if empty or not self._source.again:
                return


def _triple(item: Any, what: str) -> Samples:
    """``x, y, weights`` of what one step of an iterator gives."""
    if not isinstance(item, tuple | list):
        return item, None, None
    if len(item) not in (1, 2, 3):
        raise DataError.of(f"{what} gave a {type(item).__name__} of {len(item)}",
                           "a batch (x, y) or (x, y, sample_weight), or x alone to predict", "yield x, y")
    x, y, weights = (*item, None, None)[:3]
    return x, y, weights


def _arrays(data: Any, name: str) -> Any:
    """``data`` with arrays as leaves, where it holds lists of numbers or tables."""
    if data is None or hasattr(data, "shape") and not frames.is_table(data):
        return data
    if isinstance(data, dict) or (isinstance(data, list | tuple) and any(hasattr(a, "shape") for a in data)):
        items = data.items() if isinstance(data, dict) else enumerate(data)
        found = {k: _arrays(a, name) for k, a in items}
        return found if isinstance(data, dict) else type(data)(found.values())
    return np.asarray(frames.plain(data, name))


def _rows_of(array: Any) -> Callable[[np.ndarray], Any]:
    """The function that reads rows of ``array``."""
    if hasattr(array, "tocsr"):
        compressed = array.tocsr()
        return lambda rows: compressed[rows].toarray()
    if isinstance(array, np.ndarray):
        return lambda rows: np.asarray(array[rows])
    if frames.library(array) in ("h5py", "zarr"):
        return lambda rows: _sorted_read(array, rows)
    plain = np.asarray(array)
    return lambda rows: plain[rows]


def _sorted_read(array: Any, rows: np.ndarray) -> np.ndarray:
    """Rows of an array on disk, which wants increasing numbers."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and bool((np.diff(rows) == 1).all()):
        return np.asarray(array[int(rows[0]):int(rows[-1]) + 1])
    order = np.argsort(rows)
    out = np.empty((len(rows), *array.shape[1:]), array.dtype)
    out[order] = array[rows[order]] if frames.library(array) == "h5py" else array.oindex[rows[order]]
    return out


# ---------------------------------------------------------------- which is which


def is_batches(x: Any) -> bool:
    """Whether ``x`` gives batches: an iterator, an iterable, a data set, or a function that makes an iterator."""
    if x is None or isinstance(x, str | bytes | list | tuple | dict | os.PathLike) or frames.is_table(x):
        return False
    if hasattr(x, "__array__") or hasattr(x, "shape") or hasattr(x, "__dlpack__") or np.isscalar(x):
        return False
    return hasattr(x, "__next__") or hasattr(x, "__iter__") or _is_numbered(x) or (
        callable(x) and not isinstance(x, type))


def _is_numbered(x: Any) -> bool:
    kinds = {c.__name__ for c in type(x).__mro__}
    return hasattr(x, "__len__") and hasattr(x, "__getitem__") and (
        bool(kinds & {"PyDataset", "Sequence"}) or not hasattr(x, "__iter__"))


def is_rows(x: Any) -> bool:
    """Whether ``x`` is on disk or sparse, so that its rows are read as they are needed."""
    if isinstance(x, np.ndarray):
        base: Any = x
        while isinstance(base, np.ndarray):
            if isinstance(base, np.memmap):
                return True
            base = base.base
        return False
    return (hasattr(x, "tocsr") and hasattr(x, "shape")) or (
        frames.library(x) in ("h5py", "zarr") and hasattr(x, "shape"))


def batches(x: Any, y: Any, weights: Any = None) -> Batches:
    """The source of an iterable of batches, which hold their targets and weights themselves."""
    if y is not None or weights is not None:
        argument, held = ("y", "targets") if y is not None else ("sample_weight", "weights")
        raise ArgumentError.of(f"got {argument} beside a {type(x).__name__}, whose batches hold their {held}",
                               "batches (x, y) or (x, y, sample_weight)", f"model.fit(batches)   # without {argument}")
    return Numbered(x) if _is_numbered(x) else Batches(x)


def once_only(source: Source, what: str, steps: str) -> None:
    """An error for an iterator that several epochs would have to go through."""
    if not source.again:
        raise UsageError.of(f"{source.what} can be gone through once, and {what}",
                            f"a function that makes an iterator, a list, a data set, or {steps}",
                            f"model.fit(lambda: batches(), ...)   # or {steps}=100")


def names_of(y: Any) -> str | Sequence[str] | None:
    """The names of columns, if it is such that the user gave in place of targets."""
    if isinstance(y, str) or (isinstance(y, list) and y and all(isinstance(n, str) for n in y)):
        return y
    return None
