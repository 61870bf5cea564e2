"""Sorting, searching and running sums against NumPy's, compiled and called as users call them.

python bench/sorting.py            # the whole list
python bench/sorting.py argsort    # the cases whose name contains this
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr

TARGET_SECONDS = 0.05  # of one timed sample
SAMPLES = 7

CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {  # recorded, and NumPy's own
    "sort": (np.sort, np.sort),
    "argsort": (lambda x: np.argsort(x, stable=True), lambda x: np.argsort(x, stable=True)),
    "median": (lambda x: np.median(x, axis=-1), lambda x: np.median(x, axis=-1)),
    "cumsum": (lambda x: np.cumsum(x, axis=-1), lambda x: np.cumsum(x, axis=-1)),
    "cumprod": (lambda x: np.cumprod(x, axis=-1), lambda x: np.cumprod(x, axis=-1)),
}
SHAPES = [(100,), (1000,), (100_000,), (1_000_000,), (1000, 10), (1000, 100)]
DTYPES = ["float32", "float64", "int32", "int64"]


def microseconds(function: Callable[..., Any], *args: Any) -> float:
    """The best of several samples of many calls each."""
    function(*args)
    start = time.perf_counter()
    function(*args)
    calls = max(1, int(TARGET_SECONDS / max(time.perf_counter() - start, 1e-6)))
    best = float("inf")
    for _ in range(SAMPLES):
        start = time.perf_counter()
        for _ in range(calls):
            function(*args)
        best = min(best, (time.perf_counter() - start) / calls)
    return best * 1e6


def main() -> None:
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    random = np.random.default_rng(0)
    print(f"{'':40}{'chainrule':>12}{'NumPy':>12}   µs")
    for name, (recorded, numpys) in CASES.items():
        for shape in SHAPES:
            for dtype in DTYPES:
                label = f"{name} {dtype}{list(shape)}"
                if wanted in label:
                    x = (1000 * random.normal(size=shape)).astype(dtype)
                    compiled = cr.jit(recorded)
                    print(f"{label:40}{microseconds(compiled, x):12.1f}{microseconds(numpys, x):12.1f}")


if __name__ == "__main__":
    main()
