"""Sums that end the life of large arrays come early: less memory, the same bits, and nothing before what it needs."""

import numpy as np
import pytest
from test_rows import agrees, program

import chainrule as cr
from chainrule import nn, runtime
from chainrule.compiler import order
from chainrule.compiler.loops import Contract, reads, writes

RNG = np.random.default_rng(11)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def dense(weights, x):
    for w, b in weights:
        x = nn.relu(x @ w + b)
    return np.mean(x * x)


def joined(loss):
    """The gradient in one vector, as optimizers take it."""
    def gradient(weights, x):
        return np.concatenate([g.ravel() for pair in cr.grad(loss)(weights, x) for g in pair])
    return gradient


def images(weights, x):
    for kernel, scale in weights:
        y = nn.conv(x, kernel, 1, "same")
        mean, variance = nn.moments(y, (0, 1, 2))
        x = nn.relu(nn.batch_norm(y, mean, variance, scale, scale, epsilon=1e-3)) + x
    return np.mean(x * x)


def steps(weights, x):
    """In whose loop the same holds."""
    def step(vector, x):
        at, pairs = 0, []
        for w, b in weights:
            pairs.append((vector[at:at + w.size].reshape(w.shape), vector[at + w.size:at + w.size + b.size]))
            at += w.size + b.size
        return vector - 0.1 * joined(dense)(pairs, x), None
    return cr.scan(step, np.concatenate([v.ravel() for pair in weights for v in pair]), x)[0]


LAYERS = [(normal(80, 80) / 8, normal(80)) for _ in range(6)]
CASES = {
    "dense": (joined(dense), LAYERS, normal(1000, 80)),
    "images": (joined(images), [(normal(3, 3, 8, 8) / 8, normal(8)) for _ in range(5)], normal(16, 24, 24, 8)),
    "steps": (steps, LAYERS, normal(3, 1000, 80)),
}


@pytest.mark.parametrize("name", CASES)
def test_less_memory_and_the_same_bits(name, monkeypatch, tmp_path):
    function, *args = CASES[name]
    arenas, results = [], []
    for least in (order.LEAST, 1 << 60):
        monkeypatch.setattr(order, "LEAST", least)
        monkeypatch.setattr(runtime, "_executables", {})
        monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path / str(least)))
        arenas.append(program(function, *args).arena)
        results.append(cr.jit(lambda *a, f=function: f(*a))(*args))
    assert results[0].tobytes() == results[1].tobytes()
    assert arenas[0] < 0.95 * arenas[1]


@pytest.mark.parametrize("name", CASES)
def test_the_interpreted_loops_and_numpy_agree(name, monkeypatch):
    monkeypatch.setattr(order, "LEAST", -(1 << 60))  # also where nothing is freed
    function, *args = CASES[name]
    agrees(function, *args, rtol=1e-3, atol=1e-3)


def test_a_sum_stays_behind_what_it_reads_and_what_reads_its_place():
    made = program(joined(dense), *CASES["dense"][1:])
    for k, s in enumerate(made.statements):
        if isinstance(s, Contract):
            homes = {r.buffer.home for r in reads(s) if r.buffer.home.kind == "temp"}
            written = {w.buffer.home for other in made.statements[:k] for w in writes(other)}
            assert homes <= written
    gradients = [k for k, s in enumerate(made.statements) if isinstance(s, Contract) and len(s.reduce_axes) == 1 and
                 s.reduce_axes[0].extent == 1000]
    assert len(gradients) == 6 and gradients[-1] - gradients[0] >= 10  # between the others, not all at the end
