"""Contractions of half numbers: ours beside our own float32 and PyTorch's bfloat16 (oneDNN), one thread.

python bench/half.py            # the table
python bench/half.py LIBRARY    # one library in this process; prints JSON

What is read and written is bfloat16 or float16, what is added up float32. Convolutions are channels last. On processors
without instructions for bfloat16 (AVX-512-BF16, AMX) PyTorch has no fast path for it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import geometric_mean
from typing import Any, NamedTuple

import numpy as np
from harness import attempt, machine_peak, new_table, parser, run_python, show, use_processors

TARGET_SECONDS = 0.002  # of one sample: short, so that some are not disturbed
ROUNDS = 100
SLOW = 0.1  # seconds a turn from which on two samples do
DTYPES = ("float32", "bfloat16", "float16")


class Case(NamedTuple):
    """A product of m × k and k × n (or, with a window, a convolution of m images of n² × k channels to k filters)."""

    kind: str  # N or T for each operand: stored transposed; or "conv" and its backward passes
    m: int
    k: int
    n: int
    window: int = 0

    def __str__(self) -> str:
        if self.window:
            return f"{self.kind} {self.m}×{self.n}²×{self.k}, {self.window}×{self.window}"
        return f"{self.kind} {self.m}×{self.k}×{self.n}"

    @property
    def flops(self) -> int:
        return 2 * self.m * self.k * self.n * (self.n * self.k * self.window**2 if self.window else 1)

    def arrays(self) -> list[np.ndarray]:
        """The operands as they are stored; of a convolution the images, the kernel and a cotangent of the result."""
        rng = np.random.default_rng(0)
        images, a, b = (self.m, self.n, self.n, self.k), (self.m, self.k), (self.k, self.n)
        shapes = [images, (self.window, self.window, self.k, self.k), images] if self.window else [
            a if self.kind[0] == "N" else a[::-1], b if self.kind[1] == "N" else b[::-1]]
        return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


CASES = [
    Case("NN", 128, 784, 512), Case("NT", 128, 512, 784), Case("TN", 784, 128, 512), Case("NN", 1024, 1024, 1024),
    Case("TT", 512, 512, 512), Case("NN", 1, 2048, 2048), Case("NT", 1, 2048, 2048),
    *(Case(kind, *shape, 3) for shape in ((32, 16, 32), (4, 64, 56))
      for kind in ("conv", "by the input", "by the kernel")),
]


def chainrule(case: Case, dtype: str) -> Callable[[int], Any]:
    import chainrule as cr
    from chainrule.half import bfloat16

    arrays = [a.astype(bfloat16 if dtype == "bfloat16" else dtype) for a in case.arrays()]

    def conv(x: Any, kernel: Any) -> Any:
        return cr.nn.conv(x, kernel, padding="same")
    passes = {"conv": lambda x, k, ct: conv(x, k), "by the input": lambda x, k, ct: cr.vjp(lambda x: conv(x, k), x)[1](
        ct)[0], "by the kernel": lambda x, k, ct: cr.vjp(lambda k: conv(x, k), k)[1](ct)[0]}

    def matmul(a: Any, b: Any) -> Any:
        return (a if case.kind[0] == "N" else a.T) @ (b if case.kind[1] == "N" else b.T)
    run = cr.jit(passes.get(case.kind, matmul)).bind(*arrays)
    return lambda times: [run() for _ in range(times)]


def torch(case: Case, dtype: str) -> Callable[[int], Any]:
    import torch

    torch.set_num_threads(1)
    arrays = [torch.from_numpy(a).to(getattr(torch, dtype)) for a in case.arrays()]
    if case.window:
        x, kernel, ct = arrays[0].permute(0, 3, 1, 2), arrays[1].permute(3, 2, 0, 1), arrays[2].permute(0, 3, 1, 2)
        kernel = kernel.contiguous(memory_format=torch.channels_last)
        around = [(case.window - 1) // 2] * 2
        mask = [case.kind == "by the input", case.kind == "by the kernel", False]

        def run() -> Any:
            if case.kind == "conv":
                return torch.conv2d(x, kernel, None, 1, around)
            return torch.ops.aten.convolution_backward(ct, x, kernel, None, [1, 1], around, [1, 1], False, [0, 0], 1,
                                                       mask)
    else:
        a, b = (x if kind == "N" else x.T for x, kind in zip(arrays, case.kind, strict=False))

        def run() -> Any:
            return a @ b
    return lambda times: [run() for _ in range(times)]


def seconds(case: Case, library: Callable[[Case, str], Callable[[int], Any]], names: tuple[str, ...]) -> list[float]:
    """The best of several samples of each dtype, which take turns; seconds a turn."""
    calls, counts, best = [library(case, dtype) for dtype in names], [], [float("inf")] * len(names)
    for call in calls:
        call(1)
        start = time.perf_counter()
        call(1)
        counts.append(max(1, int(TARGET_SECONDS / (time.perf_counter() - start))))
    for turn in range(ROUNDS):
        for k, (call, times) in enumerate(zip(calls, counts, strict=True)):
            if turn > 1 and best[k] > SLOW:
                continue
            start = time.perf_counter()
            call(times)
            best[k] = min(best[k], (time.perf_counter() - start) / times)
    return best


LIBRARIES = {"chainrule": (chainrule, DTYPES), "torch": (torch, DTYPES[:2])}


def main() -> None:
    options = parser(__doc__.split("\n")[0]).parse_args()
    use_processors(options.cpu)
    notes: list[str] = []
    chosen = CASES[::4] if options.quick else CASES
    results = {name: attempt(name, options, lambda name=name: json.loads(run_python(
        [str(Path(__file__)), name], {"CASES": json.dumps([list(c) for c in chosen])}).splitlines()[-1]), notes)
        for name in LIBRARIES if name in options.peers}
    ours, theirs = (results.get(name) if isinstance(results.get(name), list) else None for name in LIBRARIES)
    table = new_table("Contractions: GFLOP/s, and the time of others over ours of bfloat16", "float32", "float16",
                      "bfloat16", "float32 ÷", "PyTorch", "÷", "PyTorch float32", "÷")
    factors: dict[str, list[float]] = {"our float32": [], "PyTorch's bfloat16": [], "PyTorch's float32": []}
    for k, case in enumerate(chosen):
        cells = [f"{case.flops / ours[k][n] / 1e9:.0f}" for n in (0, 2, 1)] if ours else [""] * 3
        others = [ours[k][0] if ours else None, *([theirs[k][1], theirs[k][0]] if theirs else [None, None])]
        for n, (name, spent) in enumerate(zip(factors, others, strict=True)):
            cells += [f"{case.flops / spent / 1e9:.3g}" if spent else ""] if n else []
            factors[name] += [spent / ours[k][1]] if ours and spent else []
            cells.append(f"{factors[name][-1]:.2f}" if ours and spent else "")
        table.add_row(str(case), *cells)
    notes += [f"{name} over our bfloat16: geometric mean {geometric_mean(f):.2f}, least {min(f):.2f}"
              for name, f in factors.items() if f]
    notes.append(f"peak: {machine_peak() / 1e9:.0f} GFLOP/s of multiply-adds between registers")
    show(table, notes)


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in LIBRARIES:
        cases = [Case(*c) for c in json.loads(os.environ["CASES"])]
        print(json.dumps([seconds(case, *LIBRARIES[sys.argv[1]]) for case in cases]))
    else:
        main()
