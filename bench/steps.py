"""A training step of every workload in the steady state, ours and the peers in turn; for one thread and for several.

python bench/steps.py                                  # all workloads, one thread
python bench/steps.py --workloads mlp lenet --threads 1 2 --compile
"""

from __future__ import annotations

import argparse
from functools import partial
from statistics import geometric_mean, median

from harness import (
    CONSOLE,
    duration,
    machine_peak,
    new_table,
    parser,
    ratio,
    show,
    start_peer,
    unavailable,
    use_processors,
)
from peers import PEERS
from rich.table import Table
from turns import in_turn, running
from workloads import WORKLOADS, Workload

Reports = dict[str, dict | str]  # by peer
THOROUGH, QUICK = (0.5, 7), (0.1, 3)  # seconds of a slice, and rounds


def measure(options: argparse.Namespace, threads: int, notes: list[str]) -> dict[str, Reports]:
    """The reports of all peers on each workload: one process a peer, so that none is imported twice, in turn."""
    absent = {name: word for name in options.peers if (word := unavailable(name, options, notes)) is not None}
    seconds, rounds = QUICK if options.quick else THOROUGH
    found: dict[str, Reports] = {}
    start = {name: partial(start_peer, name, threads) for name in options.peers if name not in absent}
    with running(start) as runners:
        for workload in options.workloads:
            taking = {name: r for name, r in runners.items() if PEERS[name].takes(WORKLOADS[workload])}
            with CONSOLE.status(WORKLOADS[workload].title):
                reports = in_turn(taking, workload, seconds, rounds)
            found[workload] = {name: absent.get(name) or reported(name, workload, reports[name], notes)
                               for name in options.peers if name in absent or name in reports}
    return found


def reported(name: str, workload: str, report: dict, notes: list[str]) -> dict | str:
    """A report, or the word that stands for one; says why in the notes."""
    if "failed" in report:
        notes.append(f"{PEERS[name].title}, {workload}: {report['failed']}")
        return "failed"
    return report


def step_table(work: Workload, reports: Reports, peak: float, threads: int) -> Table:
    """A row per peer: median and best step, how many times ours, rate; the loss shows that it learns."""
    table = new_table(work.title, "median step", "best", "× ours", "GFLOP/s", "of peak", "loss", threads=threads)
    ours = reports.get("chainrule")
    for name, report in reports.items():
        title = PEERS[name].title
        if isinstance(report, str):
            table.add_row(title, report)
            continue
        step = median(report["step_seconds"])
        table.add_row(
            title,
            duration(step),
            duration(min(report["step_seconds"])),
            ratio(step, median(ours["step_seconds"]) if isinstance(ours, dict) else None),
            f"{work.flops / step / 1e9:.2f}",
            f"{work.flops / step / (threads * peak):.1%}",
            "{:.3f} → {:.3f}".format(*report["loss"]),
        )
    return table


def best_peer(reports: Reports) -> float | None:
    """How many times ours the best of the others takes."""
    steps = {name: median(r["step_seconds"]) for name, r in reports.items() if isinstance(r, dict)}
    others = [step for name, step in steps.items() if not name.startswith("chainrule")]
    return min(others) / steps["chainrule"] if others and "chainrule" in steps else None


def summary(found: dict[int, dict[str, Reports]]) -> Table:
    """All workloads: the best of the others over ours, and what further threads give us."""
    columns = [f"best peer ÷ ours, {n} thread{'s' * (n > 1)}" for n in found]
    more = [n for n in found if n > 1 and 1 in found]
    table = new_table("All workloads", *columns, *(f"ours: {n} threads over one" for n in more))
    table.title = "All workloads"
    for workload in next(iter(found.values())):
        factors = [best_peer(results[workload]) for results in found.values()]
        steps = {n: r[workload].get("chainrule") for n, r in found.items()}
        gains = [f"{median(steps[1]['step_seconds']) / median(steps[n]['step_seconds']):.2f}"
                 if isinstance(steps[n], dict) and isinstance(steps[1], dict) else "" for n in more]
        table.add_row(workload, *(f"{f:.2f}" if f else "" for f in factors), *gains)
    means = [[f for r in results.values() if (f := best_peer(r))] for results in found.values()]
    table.add_row("geometric mean", *(f"{geometric_mean(m):.2f}" if m else "" for m in means))
    return table


def main() -> None:
    given = parser(__doc__.split("\n")[0])
    given.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), metavar="WORKLOAD",
                       help=", ".join(WORKLOADS))
    options = given.parse_args()
    found: dict[int, dict[str, Reports]] = {}
    for threads in options.threads:
        use_processors(options.cpu, threads)
        notes: list[str] = []
        peak = machine_peak()
        found[threads] = measure(options, threads, notes)
        for workload, reports in found[threads].items():
            CONSOLE.print(step_table(WORKLOADS[workload], reports, peak, threads))
        notes.append(f"of peak: {peak / 1e9:.0f} GFLOP/s of multiply-adds between registers, a processor; GFLOP/s are "
                     "those of the network's products, without what is computed more than once")
        show(summary({threads: found[threads]}), notes)
    if len(found) > 1:
        show(summary(found), [])


if __name__ == "__main__":
    main()
