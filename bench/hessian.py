"""The Hessian of a 200-parameter tanh network's loss: run time, and time to the first result, beside the peers.

Every figure is the best of several processes, each with its library imported and one trivial function compiled before.

python bench/hessian.py                # the table
python bench/hessian.py LIBRARY        # one library in this process; prints JSON
"""

import json
import sys
import tempfile
import time

import numpy
from harness import attempt, duration, new_table, parser, patiently, ratio, run_python, show, use_processors
from small_functions import LIBRARIES
from startup import cache_in

PEERS = {"chainrule": "chainrule", "jax_step": "jax", "torch": "torch", "torch_compile": "torch_compile"}
TITLES = {"chainrule": "Chainrule", "jax_step": "JAX", "torch": "PyTorch", "torch_compile": "PyTorch, compiled"}
INPUTS, HIDDEN, ROWS = 11, 15, 32
PARAMETERS = INPUTS * HIDDEN + HIDDEN + HIDDEN + 1 + 4  # 200: the weights, and four scales of the output


def loss(np, p, x, y):
    """The mean squared error of a network with one hidden layer."""
    ends = numpy.cumsum([INPUTS * HIDDEN, HIDDEN, HIDDEN, 1]).tolist()
    w1, b1 = p[:ends[0]].reshape(INPUTS, HIDDEN), p[ends[0]:ends[1]]
    w2, b2, scale = p[ends[1]:ends[2]].reshape(HIDDEN, 1), p[ends[2]:ends[3]], p[ends[3]:]
    out = np.tanh(x @ w1 + b1) @ w2 + b2
    return np.mean((out * scale - y) ** 2)


def hessian_of(name):
    """The library's transformation."""
    if name == "chainrule":
        import chainrule as cr
        return cr.hessian
    if name == "jax":
        import jax
        return jax.hessian
    import torch
    return torch.func.hessian


def measure(name: str) -> dict[str, float]:
    """Seconds to the first result, and of a call in the steady state."""
    library, rng = LIBRARIES[name](), numpy.random.default_rng(0)
    p, x, y = (library.array((rng.normal(size=shape) / 3).astype("f4"))
               for shape in ((PARAMETERS,), (ROWS, INPUTS), (ROWS, 4)))
    library.wait(library.jit(lambda v: v + 1)(p))

    def run():
        return library.wait(call(p))
    start = time.perf_counter()
    call = library.jit(hessian_of(name)(lambda v: loss(library.np, v, x, y)))
    result = run()
    first = time.perf_counter() - start
    times = []
    for _ in range(200):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return {"first": first, "run": min(times), "sum": float(numpy.asarray(result).sum())}


def best(library: str, runs: int) -> dict[str, float]:
    """The best of several processes, each with an empty cache and then with the filled one."""
    found: dict[str, float] = {}
    for _ in patiently(runs):
        with tempfile.TemporaryDirectory() as folder:
            cold, cached = (json.loads(run_python([__file__, library], cache_in(folder)).splitlines()[-1])
                            for _ in range(2))
        report = {"first": cold["first"], "cached": cached["first"], "run": min(cold["run"], cached["run"])}
        found = {k: min(v, found.get(k, v)) for k, v in report.items()} | {"sum": cold["sum"]}
    return found


def main() -> None:
    options = parser(__doc__).parse_args()
    use_processors(options.cpu)
    notes: list[str] = []
    results = {peer: attempt(peer, options, lambda library=library: best(library, 1 if options.quick else 5), notes)
               for peer, library in PEERS.items() if peer in options.peers}
    table = new_table("Hessian of a 200-parameter network's loss", "run", "× ours", "first result", "× ours",
                      "with filled cache", "sum of the elements")
    ours = results.get("chainrule")
    for peer, report in results.items():
        if isinstance(report, str):
            table.add_row(TITLES[peer], report)
            continue
        row = [duration(report["run"]), ratio(report["run"], ours["run"] if isinstance(ours, dict) else None),
               duration(report["first"]), ratio(report["first"], ours["first"] if isinstance(ours, dict) else None)]
        table.add_row(TITLES[peer], *row, duration(report["cached"]), f"{report['sum']:.4f}")
    show(table, notes)


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in LIBRARIES:
        print(json.dumps(measure(sys.argv[1])))
    else:
        main()
