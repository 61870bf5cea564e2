"""Twenty small functions: time to the first result, cold and from the disk cache; gradients without compilation.

Every figure is the best of several processes, of fewer where they take long. A process has imported its library and
compiled one trivial function before the clock starts. PyTorch runs eagerly: what it takes at first are mostly modules
that it imports late.
"""

import json
import os
import tempfile
from pathlib import Path

from harness import (
    PeerFailed,
    attempt,
    duration,
    new_table,
    parser,
    patiently,
    ratio,
    run_python,
    show,
    use_processors,
)
from small_functions import CASES
from startup import cache_in

LIBRARIES = {"chainrule": "chainrule", "jax_step": "jax", "torch": "torch", "torch_compile": "torch_compile"}
HEADINGS = {"chainrule": "Chainrule", "jax_step": "JAX", "torch": "PyTorch", "torch_compile": "compiled"}
TABLES = {
    "cold": "Time to first result",
    "cached": "Time to first result, filled disk cache",
    "gradient": "Gradient without compilation, second call",
}
SCRIPT = str(Path(__file__).parent / "small_functions.py")

Times = dict[str, dict[str, float]]  # case -> table -> seconds


def best_times(library: str, runs: int) -> Times:
    """The best of several processes, each case in processes of its own; what fails is left out."""
    best: Times = {case: {} for case in CASES}
    for case, found in best.items():
        for _ in patiently(runs):
            with tempfile.TemporaryDirectory() as folder:
                for table in ("cold", "cached"):
                    try:
                        report = json.loads(run_python([SCRIPT, library, case], cache_in(folder)).splitlines()[-1])
                    except PeerFailed:
                        break
                    report[table] = report.pop("first")
                    found |= {name: min(seconds, found.get(name, seconds)) for name, seconds in report.items()}
    return best


def print_table(name: str, results: dict[str, Times | str], notes: list[str]) -> None:
    """A row a function, a column a library, and how many times ours it takes."""
    peers = [peer for peer, times in results.items() if isinstance(times, dict)]
    columns = [c for peer in peers for c in ([HEADINGS[peer]] if peer == "chainrule" else [HEADINGS[peer], "× ours"])]
    table = new_table(TABLES[name], *columns)
    for case in CASES:
        ours = results["chainrule"][case].get(name) if "chainrule" in peers else None
        cells = []
        for peer in peers:
            seconds = results[peer][case].get(name)
            cells.append(duration(seconds) if seconds else "")
            cells += [] if peer == "chainrule" else [ratio(seconds, ours) if seconds else ""]
        if any(cells):
            table.add_row(case, *cells)
    show(table, notes)


def main() -> None:
    options = parser(__doc__).parse_args()
    use_processors(options.cpu, os.cpu_count() or 1)  # all libraries compile in threads
    runs = 1 if options.quick else 4
    notes: list[str] = []
    results: dict[str, Times | str] = {
        peer: attempt(peer, options, lambda library=library: best_times(library, runs), notes)
        for peer, library in LIBRARIES.items() if peer in options.peers
    }
    for name in TABLES:
        print_table(name, results, notes if name == "gradient" else [])


if __name__ == "__main__":
    main()
