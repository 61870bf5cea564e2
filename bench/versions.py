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
import tempfile
from functools import partial
from pathlib import Path

from harness import CONSOLE, duration, new_table, use_processors
from turns import Runner, in_turn, running
from workloads import WORKLOADS

SLICE = 0.03  # seconds
QUANTILES = {"best": 0.0, "10 %": 0.1, "median": 0.5}
CHILD = f"""
import sys
sys.path.append({str(Path(__file__).parent)!r})
from peer_chainrule import functions
from turns import serve
from workloads import WORKLOADS
serve(lambda name: (WORKLOADS[name], functions(WORKLOADS[name], int(sys.argv[1]))))
"""


def start(folder: Path, threads: int, cache: str) -> Runner:
    """The process of a version."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "CHAINRULE_CACHE_DIR": cache}
    return Runner(["-c", CHILD, str(threads)], environment, folder / "bench")


def compare(folders: list[Path], workload: str, threads: int, seconds: float) -> list[list[float]]:
    """The steps of both versions in slices in turn."""
    with tempfile.TemporaryDirectory() as kept:
        versions = {str(f): partial(start, f, threads, f"{kept}/{k}") for k, f in enumerate(folders)}
        with running(versions) as runners:
            reports = in_turn(runners, workload, SLICE, round(seconds / (2 * SLICE)))
    for report in reports.values():
        if "failed" in report:
            raise SystemExit(report["failed"])
    return [report["step_seconds"] for report in reports.values()]


def quantile(steps: list[float], part: float) -> float:
    return sorted(steps)[int(part * (len(steps) - 1))]


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
            old, new = quantile(before, part), quantile(after, part)
            cells += [duration(new), f"{new / old:.3f}"]
        table.add_row(workload, *cells)
    CONSOLE.print(table)


if __name__ == "__main__":
    main()
