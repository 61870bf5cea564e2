"""The passes between a graph and machine code."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest

from chainrule.autodiff import value_and_grad
from chainrule.cache import Entry
from chainrule.compiler.effort import BRIEF, FAST
from chainrule.compiler.interpret import interpret
from chainrule.compiler.pipeline import build
from chainrule.compiler.simplify import simplify
from chainrule.control import scan
from chainrule.llvm import emit
from chainrule.llvm.emit import emit_program
from chainrule.llvm.jit import compile_module, host
from chainrule.ops import elementwise as ew
from chainrule.ops.index import take
from chainrule.ops.linalg import matmul, where_places
from chainrule.ops.reduce import sum_
from chainrule.ops.structure import concatenate, reshape
from chainrule.runtime import Counters, Executable, jit
from chainrule.trace import trace

RNG = np.random.default_rng(5)


def network(p, x, y):
    hidden = ew.relu(x @ p[0] + p[1])
    out = hidden @ p[2] + p[3]
    return sum_((out - y) * (out - y), axes=(0, 1)) / len(x)


def parameters(n=7, h=17):
    return [RNG.normal(size=(n, h)), RNG.normal(size=h), RNG.normal(size=(h, 1)), RNG.normal(size=1)]


def train(flat, momentum, xs, ys, shapes):
    def unpack(p):
        out, at = [], 0
        for s in shapes:
            n = int(np.prod(s))
            out.append(reshape(p[at:at + n], shape=s))
            at += n
        return out

    def body(carry, batch):
        p, m = carry
        loss, g = value_and_grad(network)(unpack(p), *batch)
        m = 0.9 * m + concatenate(*[reshape(q, shape=(q.size,)) for q in g], axis=0)
        return (p - 0.1 * m, m), loss
    return scan(body, (flat, momentum), (xs, ys))


CASES = {
    "chain": (lambda x: x * np.tanh(x) + 1, (RNG.normal(size=(5, 33)),)),
    "two outputs": (lambda x: (np.exp(x), np.exp(x) * 2), (RNG.normal(size=17),)),
    "views": (lambda x: (x.T[::-1], x[1:, 2], np.maximum(x, 0.3)[None]), (RNG.normal(size=(10, 3)),)),
    "row sums": (lambda x: sum_(x * x, axes=(1,)), (RNG.normal(size=(37, 19)),)),
    "column sums": (lambda x: sum_(x * x, axes=(0,)), (RNG.normal(size=(37, 19)),)),
    "middle sums": (lambda x: sum_(x, axes=(1,)), (RNG.normal(size=(3, 16, 7)),)),
    "gather": (lambda x, i: take(x, i, axis=0) * 2, (RNG.normal(size=(10, 3)), np.array([1, 2, 3, 9, 9]))),
    "gather's gradient": (
        value_and_grad(lambda x: sum_(take(x, np.array([1, 1, 4]), axis=0) ** 2, axes=(0, 1))),
        (RNG.normal(size=(10, 3)),),
    ),
    "slices' gradient": (value_and_grad(lambda x: sum_(x[1:] * x[:-1:1], axes=(0,))), (RNG.normal(size=9),)),
    "network's gradient": (value_and_grad(network), (parameters(), RNG.normal(size=(10, 7)), RNG.normal(size=(10, 1)))),
    "constants": (lambda x: x + np.arange(33.0) * 2, (RNG.normal(size=33),)),
    "reshape": (lambda x: reshape(reshape(x + 1, shape=(6, 4)).T, shape=(3, 8)), (RNG.normal(size=(2, 12)),)),
    "swapped carries": (
        lambda a, b: scan(lambda c, _: ((c[1], c[0] + 1), None), (a, b), length=5)[0],
        (np.ones(3), np.zeros(3)),
    ),
    "empty": (lambda x: (x * 2, sum_(x, axes=(0,))), (np.zeros((0, 4)),)),
}


@pytest.mark.parametrize("name", CASES)
def test_every_stage_agrees_with_the_reference(name):
    function, args = CASES[name]
    graph = trace(function, *args)
    leaves = [np.asarray(a) for a in _leaves(args)]
    expected = graph.evaluate(*leaves)
    for stage in (simplify(graph).evaluate(*leaves), interpret(build(graph), leaves), _leaves(jit(function)(*args))):
        for e, got in zip(expected, stage, strict=True):
            np.testing.assert_allclose(np.reshape(got, np.shape(e)), e, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("worth", [BRIEF, FAST], ids=["brief", "fast"])
@pytest.mark.parametrize("vector_bytes", [16, 32, 64])
def test_other_vector_widths_agree(vector_bytes, worth, monkeypatch):
    """LLVM splits wide vectors for a narrower processor: AVX-512's loops run anywhere."""
    monkeypatch.setattr(emit, "effort", lambda points, turns: worth)
    target = dataclasses.replace(host(), vector_bytes=vector_bytes, vector_registers=32)
    for name, (function, args) in CASES.items():
        graph = trace(function, *args)
        leaves = [np.ascontiguousarray(a) for a in _leaves(args)]
        program = build(graph)
        module, arena, workers = emit_program(program, target)
        code = (compile_module(module, target),)
        executable = Executable(Entry(code, arena, tuple(np.ravel(v) for _, v in program.constants), workers))
        outputs = [np.empty(o.shape, o.dtype) for o in graph.outputs]
        executable.run(leaves, outputs)
        for e, got in zip(graph.evaluate(*leaves), outputs, strict=True):
            np.testing.assert_allclose(got, e, rtol=1e-12, atol=1e-12, err_msg=name)


def test_what_runs_once_is_written_in_little_code():
    a, b = np.ones((12, 20), np.float32), np.ones((20, 24), np.float32)

    def lines(length):
        return jit(lambda a, b: scan(lambda c, _: (c + 1, c @ b), a, length=length)[1]).stage("llvm", a, b).count("\n")
    assert 1.5 * lines(3) < lines(1000)


def _leaves(x):
    return [leaf for item in x for leaf in _leaves(item)] if isinstance(x, tuple | list) else [x]


def test_training_loop_runs_in_place_and_agrees():
    p = parameters()
    flat = np.concatenate([q.ravel() for q in p])
    xs, ys = RNG.normal(size=(5, 10, 7)), RNG.normal(size=(5, 10, 1))
    shapes = [q.shape for q in p]

    def run(flat, momentum, xs, ys):
        return train(flat, momentum, xs, ys, shapes)
    args = (flat, 0 * flat, xs, ys)
    graph = trace(run, *args)
    expected = graph.evaluate(*args)
    donated = [(0, 0), (1, 1)]
    program = build(graph, donated)
    text = str(program)
    assert "in0[" in text and "copy" not in text  # parameters are updated where they are
    for e, got in zip(expected, interpret(program, args), strict=True):
        np.testing.assert_allclose(got.reshape(e.shape), e, rtol=1e-12)
    mine = [a.copy() for a in args]
    (new, _), losses = jit(run, donate=(0, 1))(*mine)
    np.testing.assert_allclose(new, expected[0], rtol=1e-11)
    np.testing.assert_allclose(losses, expected[2], rtol=1e-11)
    assert new is mine[0]


def test_donation_waits_for_later_readers():
    def f(x):
        y = x + 1
        return y, sum_(x * sum_(y, axes=(0,)), axes=(0,))  # reads x after y is made
    x = RNG.normal(size=9)
    expected = f(x)
    mine = x.copy()
    y, s = jit(f, donate=(0,))(mine)
    np.testing.assert_allclose(y, expected[0])
    np.testing.assert_allclose(s, expected[1])
    assert y is mine


def test_bias_and_activation_join_the_contraction():
    text = str(build(trace(lambda x, w, b: ew.relu(x @ w + b), np.ones((5, 7)), np.ones((7, 17)), np.ones(17))))
    assert text == """\
program(in0: float64[35], in1: float64[119], in2: float64[17]) -> out0: float64[85]
  for i1 < 5, i3 < 17:  # contract add relu
    acc = sum over r2 < 7 of in0[7·i1 + r2] * in1[17·r2 + i3]
    out0[17·i1 + i3] = relu(add(acc, in2[i3]))"""


def test_an_elementwise_chain_is_one_loop_without_intermediates():
    program = build(trace(lambda x, y: np.exp(x) * y + np.sqrt(np.abs(y)), np.ones((4, 8)), np.ones((4, 8))))
    assert len(program.statements) == 1 and program.arena == 0


def test_equal_expressions_are_computed_once_and_constants_folded():
    graph = simplify(trace(lambda x: (x * (2.0 * 3.0)) + (x * 6.0), np.ones(3)))
    assert [n.op.name for n in graph.nodes].count("mul") == 1


def test_repeated_rows_are_contracted_once():
    row, w = RNG.normal(size=3), RNG.normal(size=(3, 4))
    for f in (lambda w: np.broadcast_to(row, (5, 3)) @ w, lambda w: w.T @ np.broadcast_to(row[:, None], (3, 5))):
        graph = simplify(trace(f, w))
        assert [n.size for n in graph.nodes if n.op.name == "contract"] == [4]
        np.testing.assert_allclose(graph.evaluate(w)[0], f(w))


def test_one_value_may_be_several_results():
    def reduced(x):
        total = np.sum(x, axis=0)
        return total, total, total.T, np.max(x), x
    def product(x):
        y = x @ x.T
        return y, y
    x = np.arange(12.0).reshape(3, 4)
    for function in (reduced, product):
        for got, wanted in zip(jit(function)(x), function(x), strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_second_call_compiles_nothing():
    f = jit(lambda x: np.sin(x) * 3.5 + 0.125)
    f(np.ones(11))
    before = Counters.compiled, Counters.loaded
    f(np.zeros(11))
    jit(lambda x: np.sin(x) * 3.5 + 0.125)(np.ones(11))  # an equal graph from another function
    assert (Counters.compiled, Counters.loaded) == before


def test_stages_can_be_shown(capsys):
    f = jit(lambda x: np.exp(x) + 1)
    with pytest.raises(ValueError, match="example arguments"):
        f.show("graph")
    f(np.ones(3))
    for stage, sign in (("graph", "exp(x)"), ("loops", "for i1 < 3"), ("llvm", "define void"), ("asm", "ret")):
        f.show(stage)
        assert sign in capsys.readouterr().out
    with pytest.raises(ValueError, match="Unknown stage"):
        f.show("bytecode", np.ones(3))


def test_many_threads_may_call_one_function():
    from_threads = []
    f = jit(lambda x: sum_(np.exp(x) * x, axes=(0, 1)))
    x = RNG.normal(size=(64, 64))
    expected = float(f(x))
    threads = [threading.Thread(target=lambda: from_threads.extend(float(f(x)) for _ in range(20))) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert from_threads == [expected] * 80


def test_rows_of_a_large_array_are_fetched_ahead(capsys):
    def rows(table, places):
        return np.take(table, places, axis=0) * 2

    table, places = RNG.normal(size=(1200, 130)).astype("f4"), RNG.integers(0, 100, 9)
    for size, ahead in ((1200, True), (100, False)):  # small ones stay in the caches
        f = jit(rows)
        np.testing.assert_array_equal(f(table[:size], places), rows(table, places))
        f.show("llvm")
        assert ("call void @llvm.prefetch" in capsys.readouterr().out) == ahead


def test_a_broadcast_constant_stays_small():
    rows = np.arange(3.0)
    graph = trace(lambda x: x + np.broadcast_to(rows, (1000, 3)) + rows, np.ones((1000, 3)))
    assert max(node.params["value"].size for node in graph.nodes if node.op.name == "constant") <= 3
    np.testing.assert_array_equal(graph.evaluate(np.ones((1000, 3)))[0], np.ones((1000, 3)) + 2 * rows)


def test_positions_stay_out_of_the_nest_of_a_contraction():
    a = RNG.normal(size=(9, 9))

    def lower(a):  # only what follows the contraction reads the mask, which is made of positions
        return where_places(matmul(a, a), ew.ge, matmul(a, a), 0.0)
    np.testing.assert_allclose(jit(lower)(a), np.tril(a @ a))
