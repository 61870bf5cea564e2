"""What several test files share: comparing results, ulps, running functions in reference mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import dtypes, tree
from chainrule.trace import as_array, record


def reference(function: Callable[..., Any], *args: Any) -> Any:
    """``function`` recorded without values (as ``jit`` does) and evaluated with NumPy."""
    graph, structure = record(function, args)
    return tree.unflatten(structure, graph.evaluate(*(as_array(leaf) for leaf in tree.flatten(args)[0])))


def ulps(actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The distance in units in the last place of ``expected``; 0 where both are equal, or both NaN."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    with np.errstate(all="ignore"):
        size = np.maximum(np.abs(expected), np.asarray(dtypes.finfo(expected.dtype).tiny, expected.dtype))
        unit = np.spacing(size)
        distance = np.abs(actual.astype(np.longdouble) - expected.astype(np.longdouble)) / unit.astype(np.longdouble)
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    return np.where(same, 0, np.where(np.isfinite(distance), distance, np.inf)).astype(np.float64)


def assert_same(actual: Any, expected: Any, limit: float = 4, scale: float = 0.0, absolute: float = 0.0,
                what: str = "") -> None:
    """Equal shape and dtype, and values within ``limit`` ulps, ``absolute``, or ``scale`` × eps × the largest."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    assert actual.dtype == expected.dtype, f"{what}: dtype {actual.dtype}, expected {expected.dtype}"
    if not dtypes.is_float(expected.dtype):
        np.testing.assert_array_equal(actual, expected, err_msg=what)
        return
    finite = np.abs(expected[np.isfinite(expected)]).astype(np.float64)
    slack = max(absolute, scale * dtypes.finfo(expected.dtype).eps * (finite.max() if finite.size else 0))
    with np.errstate(all="ignore"):
        near = np.abs(actual.astype(np.float64) - expected.astype(np.float64)) <= slack
    far = (ulps(actual, expected) > limit) & ~near
    if far.any():
        at = tuple(int(i) for i in np.argwhere(far)[0])
        raise AssertionError(f"{what}: {far.sum()} of {far.size} elements differ; at {at} {actual[at]!r} instead of "
                             f"{expected[at]!r} ({ulps(actual, expected)[at]:.3g} ulp)")
