"""Two threads over one: the time of a training step of each workload and peer, and the ratio.

Rounds take turns, and the best step of all rounds counts: on a machine that others use, the second processor is now and
then not to be had. The two small workloads show that threads are no loss where there is nothing to share out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from harness import CONSOLE, duration, machine
from peers import PEERS
from rich import box
from rich.table import Table
from workloads import WORKLOADS

HERE = Path(__file__).parent
NAMES = ("mlp", "gemm", "lenet", "resnet20", "keras_script", "softmax")
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS",
             "TF_NUM_INTEROP_THREADS")
ONE = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def best_step(peer: str, workload: str, threads: int, seconds: float) -> float | None:
    """Seconds of the best step of a process that may use so many processors; None if the peer cannot train it."""
    environment = {**os.environ, **dict(PEERS[peer].environment), **dict.fromkeys(VARIABLES, str(threads)),
                   "XLA_FLAGS": ONE if threads == 1 else "", "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(HERE / "peers.py"), peer, workload, "--threads", str(threads), "--seconds",
               str(seconds), "--repeats", "40"]
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(everywhere)[-threads:])
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    finally:
        os.sched_setaffinity(0, everywhere)
    lines = done.stdout.strip().splitlines()
    steps = json.loads(lines[-1]).get("step_seconds") if lines and not done.returncode else None
    return min(steps) if steps else None


def measured(peer: str, workload: str, rounds: int, seconds: float, threads: int) -> list[float]:
    """The best step with one thread, and with ``threads``; empty if there is none."""
    best = [float("inf")] * 2
    for _ in range(rounds):
        for k, n in enumerate((1, threads)):
            step = best_step(peer, workload, n, seconds)
            if step is None:
                return []
            best[k] = min(best[k], step)
    return best


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
            best = measured(name, workload, options.rounds, options.seconds, options.threads)
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
    add("--rounds", type=int, default=2)
    add("--seconds", type=float, default=0.05, help="of one of the 40 repetitions in a round")
    options = parser.parse_args()
    for workload in options.workloads:
        compare(workload, options)


if __name__ == "__main__":
    main()
