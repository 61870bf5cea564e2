"""What a compiled function says of its memory, and of the bytes that its loops move."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler.accounts import traffic_of
from chainrule.compiler.pipeline import build
from chainrule.errors import ArgumentError

X = np.ones((50, 20), np.float32)
KIB = 1024


def moved(f, *args):
    graph = cr.trace(f, *args)
    return traffic_of(build(graph), graph.cost())


def test_memory_has_a_line_for_everything():
    noise = np.arange(2000, dtype=np.float32)
    f = cr.jit(lambda x, y: np.sum(np.exp(x)) + np.exp(y) * noise)
    found = f.memory(X, y=noise)
    assert (found.arguments, found.results, found.constants) == (X.nbytes + noise.nbytes, noise.nbytes, noise.nbytes)
    assert found.scratch == 0 and found.total == sum((found.arguments, found.results, found.constants, found.arena))
    assert [line.split()[0] for line in repr(found).splitlines()] == [
        "arguments", "results", "constants", "temporaries", "scratch", "total"]


def test_temporaries_share_their_place():
    def chain(x):
        for _ in range(6):
            x = np.exp(x - np.sum(x, axis=0))
        return x
    found = cr.jit(chain).memory(np.ones((100, 100)))
    assert found.arena < found.unshared / 2


def test_packed_operands_are_scratch():
    a, b = (np.ones((300, 1000), np.float32) for _ in range(2))
    assert cr.jit(lambda a, b: a @ b.T).memory(a, b).scratch > 0


def test_a_donated_argument_is_counted_once():
    f = cr.jit(lambda x: x * 2, donate=(0,))
    found = f.memory(X)
    assert (found.arguments, found.results, found.arena) == (X.nbytes, 0, 0)
    np.testing.assert_array_equal(X, 1)  # asking runs nothing


def test_what_numpy_evaluates_has_no_plan():
    with pytest.raises(ArgumentError, match="no plan of its memory"):
        cr.jit(lambda x: np.sum(np.abs(x * 1j))).memory(X)


def test_a_fused_chain_moves_its_ends_only():
    found = moved(lambda x: np.tanh(x * 2 + 1) - x, X)
    assert (found.total.statements, found.total.loaded, found.total.stored) == (1, X.nbytes, X.nbytes)
    assert found.cost.bytes > 3 * X.nbytes


def test_repeated_rows_and_views_count_as_they_lie_in_memory():
    row = np.ones(20, np.float32)
    assert moved(lambda x, row: x[::2] + row, X, row).total.loaded == X.nbytes // 2 + row.nbytes


def test_a_contraction_reads_both_operands_once():
    w = np.ones((20, 30), np.float32)
    found = moved(lambda x, w: x @ w, X, w).families["contractions"]
    assert (found.loaded, found.stored) == (X.nbytes + w.nbytes, 50 * 30 * 4)


def test_a_loop_counts_as_often_as_it_turns():
    found = moved(lambda x: cr.scan(lambda c, row: (np.sin(c + row), None), np.zeros(20, np.float32), x)[0], X)
    assert X.nbytes * 2 <= found.total.loaded <= X.nbytes * 2 + 200


def test_gathered_rows_count_by_the_row():
    rows = np.array([1, 3, 3])
    found = moved(lambda x: np.take(x, rows, axis=0), X)
    assert 3 * 80 <= found.total.loaded <= 3 * 80 + rows.nbytes


def test_traffic_is_shown_beside_the_cost(capsys):
    cr.jit(lambda x: np.sum(np.exp(x))).show("traffic", X)
    text = capsys.readouterr().out
    assert "bytes, unfused" in text and text.rstrip().endswith("one by one")


def test_memory_counts_what_further_threads_work_in():
    w = np.ones((512, 512), np.float32)
    f = cr.jit(lambda a, b: a @ b.T)
    before = cr.get_threads()
    try:
        cr.set_threads(1)
        one = f.memory(w, w)
        cr.set_threads(3)
        three = f.memory(w, w)
    finally:
        cr.set_threads(before)
    assert three.scratch >= one.scratch and three.total - one.total == three.scratch - one.scratch
    assert f.compile(w, w).executable.worker_bytes * 2 == three.scratch - one.scratch
