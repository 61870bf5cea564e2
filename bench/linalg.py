"""Linear algebra beside NumPy (its LAPACK), one thread: microseconds a call, bound arrays, best of many.

``python bench/linalg.py [sizes …]`` prints a table.
"""

import os
import sys
import time
from collections.abc import Callable
from functools import partial

os.environ.update(OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", OMP_NUM_THREADS="1")

import numpy as np  # noqa: E402 (after the number of threads)

import chainrule as cr  # noqa: E402

SECONDS = 0.3
FUNCTIONS = {"cholesky": np.linalg.cholesky, "solve": lambda a: np.linalg.solve(a, a[0]), "inv": np.linalg.inv,
             "qr": np.linalg.qr, "eigh": np.linalg.eigh, "svd": np.linalg.svd}


def best(run: Callable[[], object]) -> float:
    """The shortest time of a call, in microseconds."""
    run()
    times, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e6 * min(times)


def main() -> None:
    sizes = [int(n) for n in sys.argv[1:]] or [3, 8, 16, 32, 64, 128]
    print(f"NumPy {np.__version__}; µs: NumPy / compiled")
    print("n".rjust(5), *(name.rjust(19) for name in FUNCTIONS))
    for n in sizes:
        a = np.random.default_rng(0).normal(size=(n, n))
        a = a @ a.T + np.eye(n)
        row = [f"{best(partial(f, a)):8.1f} / {best(cr.jit(f).bind(a)):8.1f}" for f in FUNCTIONS.values()]
        print(str(n).rjust(5), *(r.rjust(19) for r in row))


if __name__ == "__main__":
    main()
