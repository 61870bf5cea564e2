"""A training step of two versions of the package beside each other: slices of a fraction of a second in turn.

What other tenants of a machine do changes from minute to minute, by more than most changes to the compiler; slices in
turn meet the same. A version is a folder with a checkout, such as ``git worktree add`` makes, with a benchmark of its
own.

    git worktree add /tmp/before HEAD~1
    python bench/versions.py /tmp/before . --workloads mlp lenet --seconds 20
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import CONSOLE, duration, new_table, use_processors
from workloads import WORKLOADS

SLICE = 0.03  # seconds
QUANTILES = {"best": 0.0, "10 %": 0.1, "median": 0.5}
CHILD = f"""
import sys, time
from peer_chainrule import functions
from workloads import WORKLOADS
work, threads = WORKLOADS[sys.argv[1]], int(sys.argv[2])
train = functions(work, threads)

def seconds(epochs):
    start = time.perf_counter()
    train(epochs)
    return (time.perf_counter() - start) / epochs
seconds(1)
epochs = max(1, round({SLICE} / seconds(1)))
print(flush=True)
for _ in sys.stdin:
    print(seconds(epochs) / work.steps, flush=True)
"""


class Version:
    """A process that trains a workload whenever it is asked to."""

    def __init__(self, folder: Path, workload: str, threads: int, cache: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(folder), "CHAINRULE_CACHE_DIR": cache}
        command = [sys.executable, "-c", CHILD, workload, str(threads)]
        self.process = subprocess.Popen(command, text=True, env=environment, cwd=folder / "bench",
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.steps: list[float] = []
        self.line()

    def line(self) -> str:
        assert self.process.stdout is not None
        found = self.process.stdout.readline()
        if not found:
            raise SystemExit(f"a version ended with status {self.process.wait()}")
        return found

    def slice(self) -> None:
        """Train for a moment; note the time of a step."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.steps.append(float(self.line()))

    def end(self) -> None:
        """Let the process end."""
        self.process.communicate()

    def quantile(self, part: float) -> float:
        return sorted(self.steps)[int(part * (len(self.steps) - 1))]


def compare(folders: list[Path], workload: str, threads: int, seconds: float) -> list[Version]:
    """Both versions after so many seconds of slices in turn."""
    with tempfile.TemporaryDirectory() as kept:
        versions = [Version(folder, workload, threads, f"{kept}/{k}") for k, folder in enumerate(folders)]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for k in (0, 1, 1, 0):
                versions[k].slice()
        for version in versions:
            version.end()
    return versions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("before", type=Path, help="the folder of one version")
    parser.add_argument("after", type=Path, help="that of the other one")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), metavar="WORKLOAD",
                        help=", ".join(WORKLOADS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpu", type=int, help="the (last) processor to run on (default: the last one)")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each workload")
    options = parser.parse_args()
    use_processors(options.cpu, options.threads)
    columns = [heading for name in QUANTILES for heading in (name, "÷")]
    table = new_table("A training step after, and over that before", *columns, threads=options.threads)
    for workload in options.workloads:
        before, after = compare([options.before.resolve(), options.after.resolve()], workload, options.threads,
                                options.seconds)
        cells = []
        for part in QUANTILES.values():
            cells += [duration(after.quantile(part)), f"{after.quantile(part) / before.quantile(part):.3f}"]
        table.add_row(workload, *cells)
    CONSOLE.print(table)


if __name__ == "__main__":
    main()
