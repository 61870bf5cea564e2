"""Convolution forward and both backward passes on twelve common shapes, beside PyTorch's oneDNN (channels last).

python bench/convolution.py            # the table
python bench/convolution.py LIBRARY    # one library in this process, which waits for what turns.py asks
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from statistics import geometric_mean
from typing import Any, NamedTuple

import numpy as np
from harness import machine_peak, new_table, parser, show, start_peer, unavailable, use_processors
from turns import in_turn, running, serve

SLICE, ROUNDS = 0.02, 15  # seconds, and how often; the best counts
PASSES = ("forward", "by the input", "by the kernel")


class Case(NamedTuple):
    """Images (rows, extent, extent, channels) and filters of window × window."""

    rows: int
    extent: int
    channels: int
    filters: int
    window: int
    stride: int = 1

    def __str__(self) -> str:
        step = f"/{self.stride}" if self.stride > 1 else ""
        return f"{self.rows}×{self.extent}²×{self.channels} → {self.filters}, {self.window}×{self.window}{step}"

    @property
    def flops(self) -> int:
        return 2 * self.rows * (self.extent // self.stride) ** 2 * self.channels * self.filters * self.window**2

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Images, kernel, and a cotangent of the result."""
        rng, out = np.random.default_rng(0), self.extent // self.stride
        shapes = ((self.rows, self.extent, self.extent, self.channels),
                  (self.window, self.window, self.channels, self.filters), (self.rows, out, out, self.filters))
        return tuple(rng.normal(size=shape).astype(np.float32) for shape in shapes)


CASES = [  # the layers of ResNet-20, LeNet, VGG and ResNet-50
    Case(32, 32, 3, 16, 3), Case(32, 32, 16, 16, 3), Case(32, 32, 16, 32, 3, 2), Case(32, 16, 32, 32, 3),
    Case(32, 8, 64, 64, 3), Case(32, 28, 1, 32, 5), Case(32, 14, 32, 64, 5), Case(4, 56, 64, 64, 3),
    Case(4, 28, 128, 128, 3), Case(4, 14, 256, 256, 3), Case(4, 56, 64, 256, 1), Case(4, 28, 256, 128, 1),
]


def chainrule(case: Case) -> list[Callable[[int], Any]]:
    import chainrule as cr

    x, kernel, ct = case.arrays()

    def conv(x: Any, kernel: Any) -> Any:
        return cr.nn.conv(x, kernel, case.stride, (case.window - 1) // 2)
    passes = [lambda x, k, ct: conv(x, k), lambda x, k, ct: cr.vjp(lambda x: conv(x, k), x)[1](ct)[0],
              lambda x, k, ct: cr.vjp(lambda k: conv(x, k), k)[1](ct)[0]]
    bound = [cr.jit(function).bind(*map(cr.aligned, (x, kernel, ct))) for function in passes]
    return [lambda times, run=run: [run() for _ in range(times)] for run in bound]


def torch(case: Case) -> list[Callable[[int], Any]]:
    import torch

    torch.set_num_threads(1)
    x, kernel, ct = case.arrays()
    images, cotangent = (torch.tensor(a).permute(0, 3, 1, 2) for a in (x, ct))  # stored channels last
    weights = torch.tensor(kernel).permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
    pad = [(case.window - 1) // 2] * 2

    def backward(mask: list[bool]) -> Any:
        return torch.ops.aten.convolution_backward(cotangent, images, weights, None, [case.stride] * 2, pad, [1, 1],
                                                   False, [0, 0], 1, mask)
    passes = [lambda: torch.conv2d(images, weights, None, case.stride, pad),
              lambda: backward([True, False, False]), lambda: backward([False, True, False])]
    return [lambda times, run=run: [run() for _ in range(times)] for run in passes]


LIBRARIES = {"chainrule": chainrule, "torch": torch}


class Call:
    """What is measured: a turn of it counts as one step."""

    steps = 1


def serve_passes(library: str) -> None:
    """Answer for the passes of cases, named by their numbers: "3 0" is the fourth one forward."""
    known: dict[int, list[Callable[[int], Any]]] = {}

    def build(name: str) -> tuple[Call, Callable[[int], list[float]]]:
        case, number = map(int, name.split())
        if case not in known:
            known.clear()
            known[case] = LIBRARIES[library](CASES[case])

        def run(times: int) -> list[float]:
            known[case][number](times)
            return [0.0]
        return Call(), run
    serve(build)


def main() -> None:
    options = parser(__doc__.split("\n")[0]).parse_args()
    use_processors(options.cpu)
    notes: list[str] = []
    names = [n for n in LIBRARIES if n in options.peers and unavailable(n, options, notes) is None]
    table = new_table("Convolution: GFLOP/s of ours, and oneDNN's time over ours",
                      *(c for name in PASSES for c in (name, "÷ ours")))
    factors = []
    start = {name: partial(start_peer, name, 1, "convolution.py") for name in names}
    with running(start) as runners:
        for k in range(1, 8, 3) if options.quick else range(len(CASES)):
            cells = []
            for p in range(len(PASSES)):
                reports = in_turn(runners, f"{k} {p}", SLICE, ROUNDS)
                best = {name: min(r["step_seconds"]) for name, r in reports.items() if "failed" not in r}
                ours, theirs = (best.get(name) for name in LIBRARIES)
                cells.append(f"{CASES[k].flops / ours / 1e9:.0f}" if ours else "")
                factors += [theirs / ours] if ours and theirs else []
                cells.append(f"{factors[-1]:.2f}" if ours and theirs else "")
            table.add_row(str(CASES[k]), *cells)
    if factors:
        notes.append(f"geometric mean of the factors {geometric_mean(factors):.2f}, least {min(factors):.2f}")
    notes.append(f"peak: {machine_peak() / 1e9:.0f} GFLOP/s of multiply-adds between registers")
    show(table, notes)


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in LIBRARIES:
        serve_passes(sys.argv[1])
    else:
        main()
