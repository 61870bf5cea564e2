"""Runs peers one after another, each in its own process on one processor with one thread; prints tables."""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from peers import PEERS
from rich import box
from rich.console import Console
from rich.table import Table
from workloads import WORKLOADS, Workload

HERE = Path(__file__).parent
CONSOLE = Console(width=None if sys.stdout.isatty() else 110)

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}

SGEMM = """
import time
import numpy as np
best = 0
for n in (384, 512, 768, 1024):
    a, b, c = (np.ones((n, n), np.float32) for _ in range(3))
    for _ in range(12):
        start = time.perf_counter()
        np.matmul(a, b, out=c)
        best = max(best, 2 * n**3 / (time.perf_counter() - start))
print(best)
"""


class PeerFailed(Exception):
    """A peer's process ended with an error; holds the last line it wrote."""


def parser(description: str) -> argparse.ArgumentParser:
    """The options that all benchmarks share."""
    result = argparse.ArgumentParser(description=description)
    add = result.add_argument
    add("--quick", action="store_true", help="fewer and shorter runs: a glance, not a figure")
    add("--compile", action="store_true", help="torch.compile too; compiling takes it a while")
    add("--peers", nargs="+", choices=PEERS, default=list(PEERS), metavar="PEER", help=", ".join(PEERS))
    add("--cpu", type=int, help="the processor to run on (default: the last one)")
    return result


def use_one_processor(cpu: int | None) -> None:
    """Binds this process, and with it all peers, to one processor, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0)) if cpu is None else cpu})


def run_python(arguments: list[str], environment: dict[str, str]) -> str:
    """Standard output of `python ARGUMENTS` in the one-thread environment."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **ONE_THREAD, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PeerFailed((done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
    return done.stdout


def run_peer(name: str, arguments: list[str], environment: dict[str, str] | None = None) -> dict:
    """What a peer's process reports: its last line is JSON."""
    environment = {**dict(PEERS[name].environment), **(environment or {})}
    output = run_python([str(HERE / "peers.py"), name, *arguments], environment)
    return json.loads(output.strip().splitlines()[-1])


def attempt(name: str, options: argparse.Namespace, run: Callable[[], Any], notes: list[str]) -> Any:
    """What `run` gives, or the word that stands for it in the table; says why in the notes."""
    peer = PEERS[name]
    version = peer.version()
    if version is None:
        notes.append(f"{peer.title}: needs {' and '.join(peer.packages)}")
        return "not installed"
    if name == "torch_compile" and not options.compile:
        notes.append(f"{peer.title}: {version}, runs with --compile")
        return "not run"
    try:
        with CONSOLE.status(peer.title):
            result = run()
    except PeerFailed as failure:
        notes.append(f"{peer.title}: {version}: {failure}")
        return "failed"
    notes.append(f"{peer.title}: {version}")
    return result


def compare(workload: str, names: list[str], options: argparse.Namespace) -> None:
    """Prints the time per step, in the steady state, of the named peers."""
    work = WORKLOADS[workload]
    use_one_processor(options.cpu)
    arguments = [workload, *(["--seconds", "0.1", "--repeats", "3"] if options.quick else [])]
    notes: list[str] = []
    results = {
        name: attempt(name, options, lambda name=name: run_peer(name, arguments), notes) for name in names
    }
    peak = float(run_python(["-c", SGEMM], {}))
    show(step_table(work, results, peak), notes)
    CONSOLE.print(
        f"Matrix products of a step: {work.flops:,} operations. A proxy for the peak of multiply-adds: "
        f"NumPy's best float32 product of this run, {peak / 1e9:.0f} GFLOP/s; the true peak is higher.\n"
    )


def step_table(work: Workload, results: dict, peak: float) -> Table:
    """A row per peer: median and best step, how many times ours, rate; the loss shows that it learns."""
    table = new_table(work.title, "median step", "best", "× ours", "GFLOP/s", "of sgemm", "loss")
    ours = results.get("chainrule")
    for name, report in results.items():
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
            f"{work.flops / step / peak:.1%}",
            "{:.2f} → {:.2f}".format(*report["loss"]),
        )
    return table


def new_table(title: str, *headings: str) -> Table:
    """An empty table with a column for the peer and right-aligned ones for figures."""
    table = Table(title=f"{title}\n{machine()}, one thread", title_justify="left", box=box.SIMPLE)
    table.add_column("", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def show(table: Table, notes: list[str]) -> None:
    CONSOLE.print(table)
    CONSOLE.print("\n".join(f"  {note}" for note in notes) + "\n", style="dim", highlight=False, markup=False)


def duration(seconds: float) -> str:
    """Three digits and a unit that fits."""
    unit, scale = next((u, s) for u, s in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)) if seconds >= s or u == "µs")
    return f"{seconds / scale:.3g} {unit}"


def ratio(value: float, ours: float | None) -> str:
    return f"{value / ours:.2f}" if ours else ""


def machine() -> str:
    """Processor and Python, for the record."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{[*names, platform.processor(), platform.machine()][0]}, Python {platform.python_version()}"
