"""Runs peers, each in its own process on as many processors as it may have threads; prints tables."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from peers import PEERS
from rich import box
from rich.console import Console
from rich.table import Table
from turns import Runner

HERE = Path(__file__).parent
CONSOLE = Console(width=None if sys.stdout.isatty() else 120)

QUIET = {
    "JAX_PLATFORMS": "cpu",
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS",
                    "TF_NUM_INTEROP_THREADS")

PATIENCE = 10.0  # seconds of runs from which on a figure is not worth another one

PEAK = """
from contraction import peak
from chainrule.llvm import jit
print(1e9 * peak(jit.host()))
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
    add("--threads", nargs="+", type=int, default=[1], metavar="N", help="numbers of threads, one table for each")
    add("--cpu", type=int, help="the (last) processor to run on (default: the last one)")
    return result


def threads_of(count: int) -> dict[str, str]:
    """The environment in which the peers use so many threads."""
    one = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return {**dict.fromkeys(THREAD_VARIABLES, str(count)), "XLA_FLAGS": one if count == 1 else ""}


def use_processors(cpu: int | None, count: int = 1) -> None:
    """Binds this process, and with it all peers, to so many processors, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        last = os.cpu_count() - 1 if cpu is None else cpu
        os.sched_setaffinity(0, range(max(0, last - count + 1), last + 1))


def environment_of(threads: int, more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that may use so many threads."""
    return {**os.environ, **QUIET, **threads_of(threads), **more}


def run_python(arguments: list[str], environment: dict[str, str], threads: int = 1) -> str:
    """Standard output of `python ARGUMENTS`."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment_of(threads, environment),
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE,
    )
    if done.returncode:
        raise PeerFailed((done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
    return done.stdout


def start_peer(name: str, threads: int, script: str = "peers.py") -> Runner:
    """A peer's process, which waits to be asked."""
    environment = environment_of(threads, dict(PEERS[name].environment))
    return Runner([str(HERE / script), name, "--threads", str(threads)], environment, HERE)


def unavailable(name: str, options: argparse.Namespace, notes: list[str]) -> str | None:
    """The word that stands for a peer in the table, if it does not run; the notes say why, or its version."""
    peer = PEERS[name]
    version = peer.version()
    if version is None:
        notes.append(f"{peer.title}: needs {' and '.join(peer.packages)}")
        return "not installed"
    if name == "torch_compile" and not options.compile:
        notes.append(f"{peer.title}: {version}, runs with --compile")
        return "not run"
    notes.append(f"{peer.title}: {version}")
    return None


def attempt(name: str, options: argparse.Namespace, run: Callable[[], Any], notes: list[str]) -> Any:
    """What `run` gives, or the word that stands for it in the table; says why in the notes."""
    word = unavailable(name, options, notes)
    if word is not None:
        return word
    try:
        with CONSOLE.status(PEERS[name].title):
            return run()
    except PeerFailed as failure:
        notes.append(f"{PEERS[name].title}: {failure}")
        return "failed"


def patiently(runs: int) -> Iterator[int]:
    """Numbers of runs, no more of them once those before took longer than ``PATIENCE``."""
    end = time.monotonic() + PATIENCE
    for n in range(runs):
        yield n
        if time.monotonic() > end:
            return


def machine_peak() -> float:
    """Multiply-adds of one processor between registers, operations a second."""
    return float(run_python(["-c", PEAK], {}))


def new_table(title: str, *headings: str, threads: int = 1) -> Table:
    """An empty table with a column for the peer and right-aligned ones for figures."""
    with_threads = "one thread" if threads == 1 else f"{threads} threads"
    table = Table(title=f"{title}\n{machine()}, {with_threads}", title_justify="left", box=box.SIMPLE)
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
