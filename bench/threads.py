"""Two threads over one: the time of a training step of each workload and peer, and the ratio.

Slices with one and with two threads take turns, and the best step counts: on a machine that others use, the second
processor is now and then not to be had. The two small workloads show that threads are no loss where there is nothing to
share out.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import partial

from harness import CONSOLE, duration, machine, start_peer
from peers import PEERS
from rich import box
from rich.table import Table
from turns import Runner, in_turn, running
from workloads import WORKLOADS

NAMES = ("mlp", "gemm", "lenet", "resnet20", "keras_script", "softmax")


def pinned(peer: str, threads: int, processors: Sequence[int]) -> Runner:
    """A peer's process on the last of some processors."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, processors[-threads:])
    return start_peer(peer, threads)


def measured(peer: str, workload: str, options: argparse.Namespace) -> list[float]:
    """The best step with one thread, and with several, in slices in turn; empty if the peer cannot train it."""
    everywhere = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    start = {str(n): partial(pinned, peer, n, everywhere) for n in (1, options.threads)}
    with running(start) as runners:
        if everywhere:
            os.sched_setaffinity(0, everywhere)
        reports = in_turn(runners, workload, options.seconds, options.rounds)
    return [] if any("failed" in r for r in reports.values()) else [min(r["step_seconds"]) for r in reports.values()]


def compare(workload: str, options: argparse.Namespace) -> None:
    """Print the table of one workload."""
    table = Table(title=f"{WORKLOADS[workload].title}\n{machine()}", title_justify="left", box=box.SIMPLE)
    table.add_column("", no_wrap=True)
    for heading in ("one thread", f"{options.threads} threads", "one over these", "× ours"):
        table.add_column(heading, justify="right", no_wrap=True)
    ours = None
    for name in options.peers:
        if PEERS[name].version() is None or not PEERS[name].takes(WORKLOADS[workload]):
            continue
        with CONSOLE.status(f"{workload}: {PEERS[name].title}"):
            best = measured(name, workload, options)
        if not best:
            table.add_row(PEERS[name].title, "failed")
            continue
        ours = best[1] if name == "chainrule" else ours
        table.add_row(PEERS[name].title, *map(duration, best), f"{best[0] / best[1]:.2f}",
                      f"{best[1] / ours:.2f}" if ours else "")
    CONSOLE.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("workloads", nargs="*", choices=[*WORKLOADS, []], default=NAMES, metavar="WORKLOAD", help=", ".join(WORKLOADS))
    add("--peers", nargs="+", choices=PEERS, default=["chainrule", "torch", "jax_scan", "jax_step"], metavar="PEER",
        help=", ".join(PEERS))
    add("--threads", type=int, default=2)
    add("--rounds", type=int, default=40)
    add("--seconds", type=float, default=0.05, help="of a slice")
    options = parser.parse_args()
    for workload in options.workloads:
        compare(workload, options)


if __name__ == "__main__":
    main()
