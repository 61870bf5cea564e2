"""Parquet files, read a row group at a time by pyarrow, an extra: ``pip install 'chainrule[parquet]'``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, DataError
from chainrule.lazy import extra
from chainrule.training import frames, sources
from chainrule.training.sources import Block, Order, Samples, Source


def is_parquet(x: Any) -> bool:
    """Whether ``x`` names Parquet files: a path, a folder, a list of paths, or pyarrow's ``ParquetFile``.

    >>> is_parquet("data/2026.parquet"), is_parquet("data.csv")
    (True, False)
    """
    if isinstance(x, list | tuple):
        return bool(x) and all(is_parquet(each) for each in x)
    if isinstance(x, str | os.PathLike):
        return os.fspath(x).endswith((".parquet", ".pq")) or Path(x).is_dir()
    return frames.library(x) == "pyarrow" and type(x).__name__ == "ParquetFile"


class Parquet(Source):
    """Samples from the columns of Parquet files.

    Shuffled, the row groups come in another order each epoch, and the rows of each group too: rows far apart in a file
    never share a batch unless they share a group.

    Args:
        given: a path, a folder of ``*.parquet``, a list of paths, or a ``ParquetFile``.
        y: the name of the column of the targets, or a list of names; None for none.
    """

    def __init__(self, given: Any, y: Any) -> None:
        self._y = sources.names_of(y)
        if y is not None and self._y is None:
            raise ArgumentError.of(f"got y of type {type(y).__name__} beside Parquet files", "the name of a column",
                                   "model.fit('data.parquet', 'label')")
        reader = extra("pyarrow.parquet", "parquet", "reading Parquet files")
        self._files = [f if hasattr(f, "read_row_group") else reader.ParquetFile(f) for f in _paths(given)]
        self._groups = [(f, g) for f in self._files for g in range(f.metadata.num_row_groups)]
        sizes = [f.metadata.row_group(g).num_rows for f, g in self._groups]
        self._starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self.samples = int(self._starts[-1])
        self.what = f"{given}"
        if not self.samples:
            raise DataError.of(f"{given} holds no rows", "at least one sample", "")

    def _read(self, k: int) -> tuple[Any, Any]:
        file, group = self._groups[k]
        table = file.read_row_group(group)
        return (table, None) if self._y is None else frames.separated(table, self._y)

    def sample(self) -> Samples:
        """The first rows."""
        first = next(k for k, n in enumerate(np.diff(self._starts)) if n)
        x, y = self._read(first)
        return x.slice(0, 2), None if y is None else y.slice(0, 2), None

    def blocks(self, batch: int, order: Order | None, skip: int = 0) -> Iterator[Block]:
        """A row group at a time."""
        groups = np.arange(len(self._groups)) if order is None else order(len(self._groups))
        left = skip * batch
        for k in groups.tolist():
            n = int(self._starts[k + 1] - self._starts[k])
            if left >= n:
                left -= n
                continue
            x, y = self._read(k)
            rows = np.arange(n) if order is None else np.random.default_rng([k, *order.seed]).permutation(n)
            rows, left = rows[left:], 0
            if order is not None or len(rows) < n:
                x, y = x.take(rows), None if y is None else y.take(rows)
            yield x, y, None, self._starts[k] + rows


def _paths(given: Any) -> Sequence[Any]:
    if isinstance(given, list | tuple):
        return [each for one in given for each in _paths(one)]
    if isinstance(given, str | os.PathLike) and Path(given).is_dir():
        found = sorted(Path(given).glob("*.parquet"))
        if not found:
            raise DataError.of(f"the folder {given} holds no file *.parquet", "at least one", "")
        return found
    return [given]
