"""Recurrent networks beside PyTorch and JAX: a training step of 64 units, 64 steps of 32 features, batch 32, Adam.

python bench/recurrent.py             # LSTM, GRU and the plain network
python bench/recurrent.py --quick     # the LSTM, few rounds

Forward, backward, update: mean squared error of a dense layer on the last state, one thread. Ours and JAX's are whole
epochs in native code; PyTorch runs its own cells (oneDNN, with a fused Adam). Rounds take turns, the best one counts.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np
from contraction import peak
from rich.console import Console
from rich.table import Table

import chainrule as cr
from chainrule import nn
from chainrule.llvm.jit import host

UNITS, STEPS, FEATURES, BATCH, BATCHES = 64, 64, 32, 32, 20
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
F4 = np.float32


def data() -> tuple[np.ndarray, np.ndarray]:
    """Sequences and targets of an epoch."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(BATCHES, BATCH, STEPS, FEATURES)).astype(F4),
            rng.normal(size=(BATCHES, BATCH, 1)).astype(F4))


def parameters(gates: int) -> list[np.ndarray]:
    """Kernel, recurrent kernel, bias of a cell; weights and bias of the dense layer."""
    rng = np.random.default_rng(1)
    wide = gates * UNITS
    bias = (2, wide) if gates == 3 else (wide,)
    return [(0.1 * rng.normal(size=s)).astype(F4) for s in ((FEATURES, wide), (UNITS, wide), bias, (UNITS, 1), (1,))]


def chainrule(kind: str) -> Callable[[], Any]:
    """The epoch as one native loop; all parameters in one vector."""
    parts = parameters(GATES[kind])
    ends = np.cumsum([p.size for p in parts])

    def loss(flat: Any, x: Any, y: Any) -> Any:
        k, r, b, w, c = (flat[end - p.size:end].reshape(p.shape) for p, end in zip(parts, ends, strict=True))
        last = getattr(nn, kind)(x, k, r, b)[1]
        return np.mean(((last[0] if kind == "lstm" else last) @ w + c - y) ** 2)

    def step(state: Any, batch: Any) -> Any:
        p, m, v, t = state
        value, g = cr.value_and_grad(loss)(p, *batch)
        t = t + 1
        rate = F4(1e-3) * np.sqrt(1 - F4(0.999) ** t) / (1 - F4(0.9) ** t)
        m, v = m + (g - m) * F4(0.1), v + (g * g - v) * F4(0.001)
        return (p - rate * m / (np.sqrt(v) + F4(1e-7)), m, v, t), value
    flat = np.concatenate([p.ravel() for p in parts])
    state = (flat, np.zeros_like(flat), np.zeros_like(flat), np.zeros((), F4))
    return cr.jit(lambda state, x, y: cr.scan(step, state, (x, y)), donate=(0,)).bind(state, *data())


def torch(kind: str) -> Callable[[], Any]:
    """PyTorch's own recurrent layers."""
    import torch
    torch.set_num_threads(1)
    cell = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[kind](FEATURES, UNITS, batch_first=True)
    dense = torch.nn.Linear(UNITS, 1)
    optimizer = torch.optim.Adam([*cell.parameters(), *dense.parameters()], fused=True)
    xs, ys = map(torch.from_numpy, data())

    def epoch() -> None:
        for x, y in zip(xs, ys, strict=True):
            optimizer.zero_grad()
            last = cell(x)[1]
            ((dense((last[0] if kind == "lstm" else last)[0]) - y) ** 2).mean().backward()
            optimizer.step()
    return epoch


def jax(kind: str) -> Callable[[], Any]:
    """Scans over steps and batches, the inputs projected before."""
    import jax
    import jax.numpy as jnp
    sigmoid = jax.nn.sigmoid

    def lstm(state: Any, z: Any, r: Any, _: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(z + h @ r, 4, 1)
        c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
        return sigmoid(o) * jnp.tanh(c), c

    def gru(state: Any, z: Any, r: Any, inner: Any) -> Any:
        x_z, x_r, x_n = jnp.split(z, 3, 1)
        h_z, h_r, h_n = jnp.split(state[0] @ r + inner, 3, 1)
        z = sigmoid(x_z + h_z)
        return z * state[0] + (1 - z) * jnp.tanh(x_n + sigmoid(x_r + h_r) * h_n),
    turn = {"lstm": lstm, "gru": gru, "rnn": lambda state, z, r, _: (jnp.tanh(z + state[0] @ r),)}[kind]

    def loss(params: Any, x: Any, y: Any) -> Any:
        k, r, b, w, c = params
        outer, inner = b if b.ndim == 2 else (b, 0)
        rows = jnp.swapaxes(x, 0, 1) @ k + outer
        start = (jnp.zeros((BATCH, UNITS)),) * (2 if kind == "lstm" else 1)
        last, _ = jax.lax.scan(lambda state, z: (turn(state, z, r, inner), None), start, rows)
        return jnp.mean((last[0] @ w + c - y) ** 2)

    def step(state: Any, batch: Any) -> Any:
        p, m, v, t = state
        value, g = jax.value_and_grad(loss)(p, *batch)
        t = t + 1
        rate = 1e-3 * jnp.sqrt(1 - 0.999 ** t) / (1 - 0.9 ** t)
        m = jax.tree.map(lambda m, g: m + 0.1 * (g - m), m, g)
        v = jax.tree.map(lambda v, g: v + 0.001 * (g * g - v), v, g)
        p = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-7), p, m, v)
        return (p, m, v, t), value
    params = [jnp.asarray(p) for p in parameters(GATES[kind])]
    zeros = [jnp.zeros_like(p) for p in params]
    xs, ys = map(jnp.asarray, data())
    run = jax.jit(lambda state, x, y: jax.lax.scan(step, state, (x, y)))
    return lambda: jax.block_until_ready(run((params, zeros, zeros, jnp.zeros(())), xs, ys))


def operations(kind: str) -> int:
    """Multiplications and additions of a step's products: forward, of the weights, of the states."""
    wide = GATES[kind] * UNITS
    return 2 * BATCH * STEPS * wide * (2 * FEATURES + 3 * UNITS)


def compare(kind: str, rounds: int, best: float) -> Table:
    """The best time of a step of each peer."""
    makers = {"Chainrule": chainrule, "PyTorch, eager": torch, "JAX, scanned epoch": jax}
    needs = {"PyTorch, eager": "torch", "JAX, scanned epoch": "jax"}
    runs = {name: make(kind) for name, make in makers.items() if name not in needs or find_spec(needs[name])}
    times = dict.fromkeys(runs, np.inf)
    for turn in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:
                times[name] = min(times[name], (time.perf_counter() - start) / BATCHES)
    table = Table(title=f"{kind}: {operations(kind) / 1e6:.0f} million operations a step, "
                        f"{operations(kind) / best / 1e6:.2f} ms at the peak of {best:.0f} GFLOP/s")
    for heading in ("", "ms a step", "× ours", "× the arithmetic"):
        table.add_column(heading, justify="right")
    for name, took in times.items():
        table.add_row(name, f"{took * 1e3:.2f}", f"{took / times['Chainrule']:.2f}",
                      f"{took * best * 1e9 / operations(kind):.2f}")
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the LSTM only, few rounds")
    options = parser.parse_args()
    cr.set_threads(1)
    limit = peak(host())
    for network in ["lstm"] if options.quick else GATES:
        Console().print(compare(network, 5 if options.quick else 30, limit))
