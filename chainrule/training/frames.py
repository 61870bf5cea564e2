"""Tables of other libraries as arrays. They are recognised by the module of their class: none of them is imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.errors import DataError


def library(x: Any) -> str:
    """The package that the class of ``x`` comes from: ``'pandas'``, ``'polars'``, ``'pyarrow'``, ``'torch'``.

    >>> library(np.zeros(3))
    'numpy'
    """
    return type(x).__module__.partition(".")[0]


def is_table(x: Any) -> bool:
    """Whether ``x`` is a table with named columns: of pandas, polars or Arrow."""
    return columns(x) is not None


def columns(x: Any) -> list[str] | None:
    """The names of the columns of a table; None for what is no table."""
    kind, of = type(x).__name__, library(x)
    if (of in ("pandas", "polars") and kind == "DataFrame") or (of == "polars" and kind == "LazyFrame"):
        return [str(name) for name in (x.collect_schema().names() if kind == "LazyFrame" else x.columns)]
    if of == "pyarrow" and kind in ("Table", "RecordBatch"):
        return [str(name) for name in x.schema.names]
    return None


def plain(x: Any, name: str) -> Any:
    """``x`` as NumPy sees it: tables, series and tensors become arrays; all else is given back as it is.

    Args:
        x: what the user gave.
        name: what errors call it.

    Raises:
        DataError: for a column that does not hold numbers or bools, by its name.
    """
    of = library(x)
    if of == "torch" and hasattr(x, "detach"):
        return x.detach().cpu().numpy()
    names = columns(x)
    if names is not None:
        if not names:
            raise DataError.of(f"the table {name} has no columns", "at least one", "")
        return np.stack([_column(c, f"column {n!r} of {name}", f"{name}[{n!r}]")
                         for n, c in zip(names, _columns(x), strict=True)], axis=1)
    if (of, type(x).__name__) in (("pandas", "Series"), ("polars", "Series")) or (
            of == "pyarrow" and hasattr(x, "to_numpy")):
        return _column(x, f"the data {name}", name)
    return x


def separated(x: Any, y: str | Sequence[str]) -> tuple[Any, Any]:
    """A table without the columns named ``y``, and these: one name gives a series, a list of names a table."""
    names, known = [y] if isinstance(y, str) else list(y), columns(x) or []
    missing = [n for n in names if n not in known]
    if missing:
        raise DataError.of(f"y={y!r} names the column {missing[0]!r}, which x does not have",
                           f"some of {', '.join(map(repr, known))}", f"model.fit(x, {known[-1]!r})" if known else "")
    if library(x) == "pandas":
        return x.drop(columns=names), x[y]
    if library(x) == "polars":
        x = x.collect() if hasattr(x, "collect") else x
        return x.drop(names), x[y] if isinstance(y, str) else x.select(names)
    return x.select([n for n in known if n not in names]), x.column(y) if isinstance(y, str) else x.select(names)


def _columns(x: Any) -> list[Any]:
    if library(x) == "pandas":
        return [x.iloc[:, k] for k in range(x.shape[1])]
    if library(x) == "polars":
        return list((x.collect() if hasattr(x, "collect") else x).get_columns())
    return list(x.columns)


def _column(column: Any, what: str, code: str) -> np.ndarray:
    """One column as an array; what is missing in it is NaN."""
    array = _converted(column)
    if dtypes.kind(array.dtype) in "fiub":
        return array
    dtype = column.dtype if hasattr(column, "dtype") else column.type
    dates = array.dtype.kind in "Mm"
    fix = f"{code}.astype('category').cat.codes   # or one-hot: pd.get_dummies" if library(column) == "pandas" else ""
    raise DataError.of(f"{what} has dtype {dtype}", "numbers or bools",
                       f"{code} = {fix}" if fix and not dates else "")


def _converted(column: Any) -> np.ndarray:
    of = library(column)
    if of == "pandas":
        numeric = getattr(column.dtype, "kind", "O") in "fiub"
        if numeric and column.isna().any():
            return column.to_numpy(dtype=float, na_value=np.nan)
        return column.to_numpy(dtype=getattr(column.dtype, "numpy_dtype", None)) if numeric else np.asarray(column)
    if of == "pyarrow" and type(column).__name__ != "ChunkedArray":
        return np.asarray(column.to_numpy(zero_copy_only=False))
    return np.asarray(column.to_numpy())
