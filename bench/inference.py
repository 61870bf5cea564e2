"""One row through the Keras script's trained network, called from Python: the time of a call, beside the peers.

The parameters are arguments of the compiled function, or part of the program; or the function is bound to its arrays.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness import attempt, duration, new_table, parser, ratio, run_python, show, use_processors
from workloads import WORKLOADS

WAYS = {"chainrule": "chainrule", "jax_step": "jax", "torch": "torch", "keras": "keras"}
Calls = dict[str, Callable[[], Any]]


def arrays() -> tuple[list[np.ndarray], np.ndarray]:
    work = WORKLOADS["keras_script"]
    return work.parameters(), work.arrays()[0][:1]


def layers(relu: Callable[[Any], Any], sigmoid: Callable[[Any], Any], params: Any, x: Any) -> Any:
    for k in (0, 2):
        x = relu(x @ params[k] + params[k + 1])
    return sigmoid(x @ params[4] + params[5])


def chainrule() -> Calls:
    import chainrule as cr

    params, x = arrays()

    def net(params: Any, x: Any) -> Any:
        return layers(cr.nn.relu, cr.nn.sigmoid, params, x)
    with_params, fixed = cr.jit(net), cr.jit(lambda x: net(params, x))
    return {"parameters as arguments": lambda: with_params(params, x), "parameters in the program": lambda: fixed(x),
            "bound to its arrays": with_params.bind(params, x)}


def jax() -> Calls:
    import jax
    import jax.numpy as jnp

    params, x = arrays()
    params = [jnp.asarray(p) for p in params]

    def net(params: Any, x: Any) -> Any:
        return layers(jax.nn.relu, jax.nn.sigmoid, params, x)
    with_params, fixed = jax.jit(net), jax.jit(lambda x: net(params, x))
    return {"parameters as arguments": lambda: np.asarray(with_params(params, x)),
            "parameters in the program": lambda: np.asarray(fixed(x))}


def torch() -> Calls:
    import torch

    torch.set_num_threads(1)
    params, x = arrays()
    given = [torch.from_numpy(p) for p in params]
    row = torch.from_numpy(x)

    @torch.inference_mode()
    def net() -> Any:
        return layers(torch.relu, torch.sigmoid, given, row)
    return {"parameters as arguments": net}


def keras() -> Calls:
    import keras
    from peer_keras import Operations

    given = keras.Input((10,))
    model = keras.Model(given, keras.ops.sigmoid(WORKLOADS["keras_script"].net(Operations(), given)))
    x = arrays()[1]
    return {"parameters in the program": lambda: model.predict_on_batch(x)}


def measure(calls: Calls) -> dict[str, float]:
    """The best of many short samples, seconds a call."""
    found = {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        times = max(1, int(1e-3 / (time.perf_counter() - start)))
        best = float("inf")
        for _ in range(200):
            start = time.perf_counter()
            for _ in range(times):
                call()
            best = min(best, (time.perf_counter() - start) / times)
        found[name] = best
    return found


def main() -> None:
    options = parser(__doc__).parse_args()
    use_processors(options.cpu)
    notes: list[str] = []
    results = {}
    for peer, way in WAYS.items():
        if peer in options.peers:
            environment = {"KERAS_BACKEND": "tensorflow"} if way == "keras" else {}
            arguments = [str(Path(__file__)), way]
            results[peer] = attempt(peer, options, lambda a=arguments, e=environment: json.loads(
                run_python(a, e).splitlines()[-1]), notes)
    columns = ["parameters as arguments", "parameters in the program", "bound to its arrays"]
    table = new_table("Inference of one row, 10-32-16-1, a call from Python", *(
        c for name in columns for c in (name, "× ours")))
    ours = results.get("chainrule", {})
    for peer, report in results.items():
        if isinstance(report, str):
            table.add_row(peer, report)
            continue
        cells = [cell for name in columns for cell in (
            (duration(report[name]), ratio(report[name], ours.get(name) if isinstance(ours, dict) else None))
            if name in report else ("", ""))]
        table.add_row(peer, *cells)
    show(table, notes)


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in WAYS.values():
        print(json.dumps(measure({"chainrule": chainrule, "jax": jax, "torch": torch, "keras": keras}[sys.argv[1]]())))
    else:
        main()
