"""From process start to the end of the Keras script's first epoch, and what importing costs."""

import argparse
import tempfile
import time
from statistics import median

from harness import (
    attempt,
    duration,
    new_table,
    parser,
    ratio,
    run_peer,
    run_python,
    show,
    use_one_processor,
)
from peers import PEERS

IMPORTS = {
    "chainrule": "chainrule",
    "jax_scan": "jax",
    "torch": "torch",
    "sklearn": "sklearn",
    "keras": "keras",
}
CACHE_VARIABLES = ("CHAINRULE_CACHE_DIR", "JAX_COMPILATION_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")


def cache_in(folder: str) -> dict[str, str]:
    """Environment in which all who cache compiled code do so in a folder (JAX: small programs too)."""
    return {
        **dict.fromkeys(CACHE_VARIABLES, folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def first_epoch(name: str, folder: str) -> float:
    """Seconds from the start of a peer's process until it has trained one epoch."""
    start = time.time()
    return run_peer(name, ["keras_script", "--first-epoch"], cache_in(folder))["finished"] - start


def first_epochs(name: str, runs: int) -> tuple[float, float]:
    """Medians with an empty and with a filled cache. What the system read from disk is in memory for both."""
    with tempfile.TemporaryDirectory() as filled:
        first_epoch(name, filled)
        warm = [first_epoch(name, filled) for _ in range(runs)]
    cold = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as empty:
            cold.append(first_epoch(name, empty))
    return median(cold), median(warm)


def process_seconds(statement: str, environment: dict[str, str], runs: int) -> float:
    """Median time of a whole `python -c STATEMENT`; a first run fills the system's caches."""
    timings = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        run_python(["-c", statement], environment)
        timings.append(time.perf_counter() - start)
    return median(timings[1:])


def compare_first_epochs(options: argparse.Namespace, runs: int) -> None:
    notes: list[str] = []
    table = new_table(
        f"Keras script, process start to end of first epoch, median of {runs}",
        "empty cache",
        "× ours",
        "filled cache",
        "× ours ",
    )
    ours: tuple = (None, None)
    for name in options.peers:
        if name == "plain_c":  # compiled by hand beforehand
            continue
        result = attempt(name, options, lambda name=name: first_epochs(name, runs), notes)
        if isinstance(result, str):
            table.add_row(PEERS[name].title, result)
            continue
        ours = result if name == "chainrule" else ours
        pairs = zip(result, ours, strict=True)
        cells = [cell for mine, our in pairs for cell in (duration(mine), ratio(mine, our))]
        table.add_row(PEERS[name].title, *cells)
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
    options = parser(__doc__).parse_args()
    use_one_processor(options.cpu)
    runs = 2 if options.quick else 5
    compare_imports(options, runs)
    compare_first_epochs(options, runs)


if __name__ == "__main__":
    main()
