"""From process start to the end of the first training step, the process's memory then, and what importing costs."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median

import transformer
from harness import (
    PATIENCE,
    attempt,
    duration,
    new_table,
    parser,
    ratio,
    run_python,
    show,
    use_processors,
)
from peers import PEERS
from workloads import WORKLOADS

HERE = Path(__file__).parent
IMPORTS = {
    "chainrule": "chainrule",
    "jax_scan": "jax",
    "torch": "torch",
    "sklearn": "sklearn",
    "keras": "keras",
}
MODELS = {"keras_script": "chainrule_fit",  # and ours
          **dict.fromkeys(("mlp", "lenet", "resnet20", "lstm", "transformer"), "chainrule")}
LEFT_OUT = ("plain_c", "jax_scan", "keras_tuned")  # compiled by hand; as jax_step, as keras
CACHE_VARIABLES = ("CHAINRULE_CACHE_DIR", "JAX_COMPILATION_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")


def cache_in(folder: str) -> dict[str, str]:
    """Environment in which all who cache compiled code do so in a folder (JAX: small programs too)."""
    return {
        **dict.fromkeys(CACHE_VARIABLES, folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def first_step(name: str, workload: str, folder: str) -> tuple[float, int]:
    """Seconds from the start of a peer's process until it has trained on one batch, and the bytes it took at most."""
    script = "transformer.py" if workload == "transformer" else "peers.py"
    environment, start = {**dict(PEERS[name].environment), **cache_in(folder)}, time.time()
    report = json.loads(run_python([str(HERE / script), name, "--first-step", workload], environment).splitlines()[-1])
    return report["finished"] - start, report["peak"]


def first_steps(name: str, workload: str, runs: int) -> tuple[float, float, int]:
    """Medians with an empty and with the filled cache, and the least memory with the latter.

    Before all a process runs whose figures do not count: it brings into memory what the system reads from disk. Who
    takes longer than ``PATIENCE`` in it runs once more for each figure, not ``runs`` times.
    """
    with tempfile.TemporaryDirectory() as folder:
        runs = runs if first_step(name, workload, folder)[0] < PATIENCE else 1
        warm = [first_step(name, workload, folder) for _ in range(runs)]
    cold = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            cold.append(first_step(name, workload, folder)[0])
    return median(cold), median(seconds for seconds, _ in warm), min(peak for _, peak in warm)


def process_seconds(statement: str, environment: dict[str, str], runs: int) -> float:
    """Median time of a whole `python -c STATEMENT`; a first run fills the system's caches."""
    timings = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        run_python(["-c", statement], environment)
        timings.append(time.perf_counter() - start)
    return median(timings[1:])


def takers(peers: list[str], workload: str) -> list[str]:
    """The others that train a workload."""
    if workload == "transformer":
        known = transformer.NAMES
    else:
        known = tuple(n for n in PEERS if n not in LEFT_OUT and PEERS[n].takes(WORKLOADS[workload]))
    return [n for n in peers if n in known and n not in ("chainrule", "chainrule_fit")]


def compare_first_steps(options: argparse.Namespace, workload: str, ours_is: str, runs: int) -> None:
    notes: list[str] = []
    work = transformer.Work() if workload == "transformer" else WORKLOADS[workload]
    runs_of = f"median of {runs}, one from {PATIENCE:.0f} s on"
    table = new_table(f"{work.title}\nprocess start to first step done, {runs_of}",
                      "empty cache", "× ours", "filled cache", "× ours ", "peak memory", "× ours  ")
    ours: tuple = (None, None, None)
    for name in [ours_is, *takers(options.peers, workload)]:
        result = attempt(name, options, lambda name=name: first_steps(name, workload, runs), notes)
        if isinstance(result, str):
            table.add_row(PEERS[name].title, result)
            continue
        ours = result if name == ours_is else ours
        shown = duration(result[0]), duration(result[1]), f"{result[2] / 1e6:.0f} MB"
        factors = (ratio(mine, our) for mine, our in zip(result, ours, strict=True))
        table.add_row(PEERS[name].title, *(cell for pair in zip(shown, factors, strict=True) for cell in pair))
    show(table, notes)


def compare_imports(options: argparse.Namespace, runs: int) -> None:
    notes: list[str] = []
    table = new_table(f"Importing, median of {runs} whole processes", "process", "more than an empty one")
    empty = process_seconds("pass", {}, runs)
    table.add_row("python -c pass", duration(empty))
    numpy = process_seconds("import numpy", {}, runs)
    table.add_row("import numpy", duration(numpy), duration(numpy - empty))
    for name, module in IMPORTS.items():
        if name not in options.peers:
            continue
        statement, environment = f"import {module}", dict(PEERS[name].environment)
        result = attempt(name, options, lambda s=statement, e=environment: process_seconds(s, e, runs), notes)
        cells = [result] if isinstance(result, str) else [duration(result), duration(result - empty)]
        table.add_row(statement, *cells)
    show(table, notes)


def main() -> None:
    given = parser(__doc__)
    given.add_argument("--workloads", nargs="+", choices=MODELS, metavar="WORKLOAD", help=", ".join(MODELS))
    options = given.parse_args()
    use_processors(options.cpu, os.cpu_count() or 1)  # all libraries compile in threads
    runs = 1 if options.quick else 3
    compare_imports(options, runs)
    for workload in options.workloads or (["mlp"] if options.quick else MODELS):
        compare_first_steps(options, workload, MODELS[workload], runs)


if __name__ == "__main__":
    main()
