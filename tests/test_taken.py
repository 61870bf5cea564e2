"""Rows of a large array that contractions read where they lie."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from support import assert_same, reference
from test_rows import agrees, normal, program

import chainrule as cr
from chainrule import runtime
from chainrule.compiler import taken
from chainrule.compiler.contraction import ContractAxis, Contraction, plan
from chainrule.compiler.effort import FAST, effort
from chainrule.compiler.loops import Contract, Loop
from chainrule.layers import Dense
from chainrule.llvm.jit import host
from chainrule.models import Sequential

RNG = np.random.default_rng(5)
SIZES = [(300, 784, 10, 32), (90, 100, 7, 5), (50, 17, 1, 3), (120, 33, 16, 31), (70, 64, 32, 2), (40, 1000, 3, 13)]


@pytest.fixture(autouse=True)
def as_before():
    yield
    cr.set_threads(None)


def epoch(weights, data, targets, rows):
    """A layer trained on some rows after the other."""
    def step(weights, rows):
        x, y = np.take(data, rows, axis=0), np.take(targets, rows, axis=0)
        value, slope = cr.value_and_grad(lambda w: np.mean((np.tanh(x @ w) - y) ** 2))(weights)
        return weights - 0.3 * slope, value
    return cr.scan(step, weights, rows)


def given(count, width, outputs, batch, dtype=np.float32, steps=4):
    rows = RNG.integers(-count, count, (steps, batch))  # some of them twice, some from the end
    return (0.1 * normal(width, outputs).astype(dtype), normal(count, width).astype(dtype),
            normal(count, outputs).astype(dtype), rows)


def statements(function, *args):
    """Those of all loops."""
    def inside(body):
        for s in body:
            yield s
            if isinstance(s, Loop):
                yield from inside(s.body)
    return list(inside(program(function, *args).statements))


def by_table(function, *args):
    """The contractions that read rows by a table."""
    return [s for s in statements(function, *args) if isinstance(s, Contract) and (s.a.at.dynamic or s.b.at.dynamic)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_rows_are_not_copied(sizes, dtype):
    args = given(*sizes, dtype)
    assert len(by_table(epoch, *args)) == 2  # the outputs, and the gradient of the weights
    assert not any(s.label == "take" for s in statements(epoch, *args) if not isinstance(s, Loop))
    expected, got = reference(epoch, *args), {n: None for n in (1, 2)}
    for n in got:
        cr.set_threads(n)
        got[n] = cr.jit(epoch)(*args)
    for a, b, e in zip(got[1], got[2], expected, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, e, rtol=1e-4 if dtype == np.float32 else 1e-11, atol=1e-5)


def test_all_rows_in_order_are_the_array_itself():
    weights, data = normal(48, 9), normal(20, 48)
    result = cr.jit(lambda w, x, rows: np.take(x, rows, axis=0) @ w)(weights, data, np.arange(20))
    assert_same(result, reference(lambda w, x: x @ w, weights, data), limit=4, scale=48)


@pytest.mark.parametrize("rows", [np.arange(40) % 7, np.full(40, 6), np.arange(40)[::-1] % 7 - 7],
                         ids=["in turn", "one", "back"])
def test_any_rows(rows):
    data, weights, slope = normal(7, 90), normal(90, 5), normal(40, 5)
    agrees(lambda x, w, rows: np.take(x, rows, axis=0) @ w, data, weights, rows, rtol=1e-4, atol=1e-4)
    agrees(lambda x, d, rows: np.take(x, rows, axis=0).T @ d, data, slope, rows, rtol=1e-4, atol=1e-4)
    agrees(lambda x, d, rows: d.T @ np.take(x, rows, axis=0), data, slope, rows, rtol=1e-4, atol=1e-4)


def test_a_table_stands_for_one_operand_or_the_other():
    """The rows are the left or the right factor, summed over or not."""
    data, rows = normal(200, 130), RNG.integers(0, 200, 24)
    for function, other in ((lambda x, w, rows: x[rows] @ w, normal(130, 6)),
                            (lambda x, w, rows: w @ x[rows].T, normal(6, 130)),
                            (lambda x, d, rows: x[rows].T @ d, normal(24, 6)),
                            (lambda x, d, rows: d @ x[rows], normal(6, 24))):
        assert len(by_table(function, data, other, rows)) == 1
        agrees(function, data, other, rows, rtol=1e-4, atol=1e-4)


def copied(function, *args):
    return not by_table(function, *args)


def test_what_is_copied_still():
    data, weights, rows = normal(200, 130), normal(130, 6), RNG.integers(0, 200, 24)
    assert copied(lambda x, w, r: (x[r] @ w, np.tanh(x[r])), data, weights, rows)  # read by something else
    assert copied(lambda x, w, r: x[r] @ w, data, normal(130, 64), rows)  # each row is multiplied often
    assert copied(lambda x, w, r: x[r] @ w, normal(200, 8), normal(8, 6), rows)  # short rows
    assert copied(lambda x, w, r: x[r] @ w, data, weights, RNG.integers(0, 200, 2000))  # many rows
    assert copied(lambda x, r: x[r] @ x[r].T, data, rows)  # both factors
    assert copied(lambda x, w, r: np.tanh(x)[r] @ w, data, weights, rows)  # from what the program makes
    agrees(lambda x, r: x[r] @ x[r].T, data, rows, rtol=1e-4, atol=1e-4)


def test_rows_of_an_array_that_changes_are_copied():
    """An embedding that is trained: its rows are updated between two uses."""
    def train(table, weights, rows):
        def step(table, rows):
            slope = cr.grad(lambda t: np.sum(np.tanh(np.take(t, rows, axis=0) @ weights)))(table)
            return table - 0.1 * slope, np.sum(table)
        return cr.scan(step, table, rows)
    args = normal(60, 48), normal(48, 5), RNG.integers(0, 60, (3, 8))
    assert copied(train, *args)
    agrees(train, *args, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_model_trains_alike_with_and_without_copies(optimizer, monkeypatch, tmp_path):
    x, y = normal(150, 120), np.arange(150) % 4
    found = []
    for most in (taken.MOST, 0):
        monkeypatch.setattr(taken, "MOST", most)
        monkeypatch.setattr(runtime, "_executables", {})
        monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path / str(most)))
        cr.set_seed(0)
        model = Sequential([Dense(4, activation="softmax", input_dim=120)])
        model.compile(optimizer, "sparse_categorical_crossentropy")
        history = model.fit(x, y, batch_size=25, epochs=3, verbose=0)  # shuffled
        found.append([*model.get_weights(), history.history["loss"]])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_the_last_rows_are_fetched_without_reading_beyond_the_table():
    """Rows of the next tile stand in the table's last entries, whatever the tile and the number of rows."""
    for batch in range(2, 24):
        data, weights = normal(30, 70), normal(70, 5)
        agrees(lambda x, w, rows: x[rows] @ w, data, weights, RNG.integers(0, 30, batch), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("width_of_vectors", "registers"), [(16, 32), (32, 16), (64, 32)])
def test_every_size_has_a_plan(width_of_vectors, registers):
    """Rows by a table are never lanes, nor packed, however much work a plan is worth."""
    machine = replace(host(), vector_bytes=width_of_vectors, vector_registers=registers)
    efforts = [FAST, *(effort(points, 1) for points in (10, 1000, 100_000))]
    for worth, rows, width, outputs in product(efforts, (2, 3, 31, 200), (16, 300, 784), (1, 2, 10, 32)):
        forward = (ContractAxis(rows, width, 0, outputs, False), ContractAxis(outputs, 0, 1, 1, False),
                   ContractAxis(width, 1, outputs, 0, True))
        gradient = (ContractAxis(width, 1, 0, outputs, False), ContractAxis(outputs, 0, 1, 1, False),
                    ContractAxis(rows, width, outputs, 0, True))
        for axes, listed in ((forward, 0), (gradient, 2)):
            made = plan(Contraction(axes, np.dtype("f4"), by_table=(listed, None)), machine, worth)
            number = next(i for i, x in enumerate(made.axes) if x.origin == listed)
            assert made.vector != number and made.tile[number] <= 4 and not any(p.operand == 0 for p in made.packs)
