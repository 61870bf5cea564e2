"""What the next turn of a loop takes from a large array is fetched in this one."""

import ctypes

import numpy as np
import pytest
from support import reference
from test_contraction import machine, product_of, span
from test_rows import program

import chainrule as cr
from chainrule.compiler import ahead, interpret
from chainrule.compiler.contraction import plan
from chainrule.compiler.loops import Contract, Loop
from chainrule.llvm import ir, jit
from chainrule.llvm.ahead import Later
from chainrule.llvm.builder import Builder
from chainrule.llvm.contraction import emit_contraction
from chainrule.llvm.emitter import I8, I64, INT64, PTR, Emitter, Val
from chainrule.llvm.frame import Part

F4 = np.dtype("f4")


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture(autouse=True)
def anything_is_large(monkeypatch):
    monkeypatch.setattr(ahead, "LARGE", 0)
    yield
    cr.set_threads(None)


def epoch(weights, data, rows):
    """A layer trained on some rows after the other."""
    def step(w, rows):
        value, slope = cr.value_and_grad(lambda w: np.mean(np.tanh(np.take(data, rows, axis=0) @ w)))(w)
        return w - 0.3 * slope, value
    return cr.scan(step, weights, rows)


def given(rng, count, width, outputs, batch, steps):
    return (0.1 * rng.normal(size=(width, outputs)).astype(F4), rng.normal(size=(count, width)).astype(F4),
            rng.integers(-count, count, (steps, batch)))


def fetching(made):
    """The loops of a program in which a contraction fetches, with it."""
    return [(s, x) for s in made.statements if isinstance(s, Loop) for x in s.body
            if isinstance(x, Contract) and x.soon]


def in_turns(made, arguments):
    """The program's memory after each turn of its first loop that fetches."""
    memory = {b: np.array(a, dtype=b.dtype).reshape(-1) for b, a in zip(made.inputs, arguments, strict=True)}
    memory.update({b: np.array(v).reshape(-1) for b, v in made.constants})
    loop = fetching(made)[0][0]
    for s in made.statements[:made.statements.index(loop)]:
        interpret._run(s, memory, {})
    for turn in range(loop.axis.extent):
        for s in loop.body:
            interpret._run(s, memory, {loop.axis: np.asarray(turn)})
        yield memory


@pytest.mark.parametrize("sizes", [(300, 784, 10, 32, 4), (300, 784, 40, 32, 4), (90, 100, 140, 5, 3),
                                   (50, 68, 140, 3, 2)], ids=str)
def test_the_rows_of_the_next_turn_are_foreseen(sizes, rng):
    """Copied or read by a table; also those that count from the end; in the last turn its own: there is no next one."""
    args = given(rng, *sizes)
    made = program(epoch, *args)
    for got, expected in zip(cr.jit(epoch)(*args), reference(epoch, *args), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    (_, host), = fetching(made)
    (soon,), rows, width = host.soon, args[2] % sizes[0], sizes[1]
    assert (soon.axis.extent, soon.length) == (sizes[3], width)
    begin = soon.begin.at.dynamic[0][1].access.buffer
    for turn, memory in enumerate(in_turns(made, args)):
        following = rows[min(turn + 1, len(rows) - 1)]
        np.testing.assert_array_equal(memory[begin.home][:sizes[3]], width * following)


def test_threads_make_no_difference(rng):
    args = given(rng, 300, 784, 10, 32, 5)
    assert fetching(program(epoch, *args))
    cr.set_threads(1)
    alone = cr.jit(epoch)(*args)
    cr.set_threads(3)
    for one, other in zip(alone, cr.jit(epoch)(*args), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_model_fetches_what_it_takes_from_a_shuffled_array(rng, monkeypatch, tmp_path):
    found = []
    build = cr.compiler.pipeline.build
    monkeypatch.setattr(cr.compiler.pipeline, "build", lambda *a: found.append(build(*a)) or found[-1])
    monkeypatch.setattr(cr.runtime, "_executables", {})
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path))
    model = cr.Sequential([cr.layers.Dense(10, activation="softmax", input_dim=200)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(rng.random((320, 200), dtype=F4), rng.integers(0, 10, 320), batch_size=32, verbose=0)
    assert sum(len(fetching(made)) for made in found) == 1


def nothing_fetched(function, *args):
    return not fetching(program(function, *args))


def test_what_is_not_fetched(rng, monkeypatch):
    weights, data, rows = given(rng, 300, 784, 10, 32, 5)
    assert not nothing_fetched(epoch, weights, data, rows)
    assert nothing_fetched(epoch, weights, data, rows[:1])  # there is no next turn
    assert nothing_fetched(epoch, weights[:60], data[:, :60], rows)  # short rows
    assert nothing_fetched(epoch, weights[:, :1], data, rows)  # no time for it
    assert nothing_fetched(epoch, weights, data, np.repeat(rows, 6, axis=1))  # more than stays in the cache
    monkeypatch.setattr(ahead, "LARGE", data.nbytes + 1)  # an array that stays near anyway
    assert nothing_fetched(epoch, weights, data, rows)


def test_rows_that_a_turn_finds_itself_are_not_foreseen(rng):
    """They depend on what the turn before has computed."""
    def walk(weights, data, first):
        def step(carry, _):
            rows, w = carry
            y = np.take(data, rows, axis=0) @ w
            return ((rows + np.argmax(y, axis=1)) % len(data), w + 0.1 * np.mean(y)), np.sum(y)
        return cr.scan(step, (first, weights), None, length=4)[1]
    weights, data, rows = given(rng, 300, 784, 40, 32, 1)
    assert nothing_fetched(walk, weights, data, rows[0] % 300)


def test_rows_of_an_array_that_changes_are_not_fetched(rng):
    def train(table, weights, rows):
        def step(table, rows):
            slope = cr.grad(lambda t: np.sum(np.tanh(np.take(t, rows, axis=0) @ weights)))(table)
            return table - 0.1 * slope, np.sum(table)
        return cr.scan(step, table, rows)
    weights, data, rows = given(rng, 60, 128, 130, 8, 3)
    assert nothing_fetched(train, data, weights, rows)


@pytest.mark.parametrize("width", [16, 32, 64])
@pytest.mark.parametrize("part", [None, 0, 1])
def test_each_line_is_fetched_by_some_tile(width, part, rng, monkeypatch):
    """A mark is left instead. Of the table one entry more than there are rows may be read."""
    for kind, m, n, k, rows, length in (("NN", 96, 10, 32, 32, 96), ("NT", 37, 21, 50, 7, 81),
                                        ("NN", 128, 512, 64, 9, 700), ("TN", 70, 33, 19, 5, 64)):
        c, target = product_of(kind, m, n, k), machine(width, l2_bytes=1 << 20)
        starts = rng.permutation(rows + 9) * (length + 16)
        marks = np.zeros(starts.size * (length + 16), F4)

        def mark(builder: Builder, pointer: ir.Value) -> None:
            builder.store(I8(1), pointer)
        module = ir.Module()
        function = ir.Function(module, ir.FunctionType(ir.VOID, [*[PTR] * 6, I64, I64]), "kernel")
        e, p, strides = Emitter(Builder(function.append_basic_block())), plan(c, target), tuple(x.out for x in c.axes)
        a, b, out, scratch, large, table = function.args[:6]
        tiles = None if part is None else Part(part, *(Val(x, INT64) for x in function.args[6:]))
        with monkeypatch.context() as patch:
            patch.setattr(Builder, "prefetch", mark)
            emit_contraction(e, p, a, b, scratch, lambda e, place, x: place.store(x, out, strides), tiles,  # noqa: B023
                             later=[Later(large, rows, length, F4, table)])
        e.b.ret_void()
        loaded = jit.Loaded((jit.compile_module(module, target),), target, ["kernel"])
        sizes = [span(c, [getattr(x, o) for x in c.axes]) for o in ("a", "b", "out")]
        memory = [np.zeros(size, F4) for size in (*sizes, p.scratch + 16)]
        call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 6, *[ctypes.c_int64] * 2)(loaded.address("kernel"))
        units = 1 if part is None else sum((x.stop - x.start) // x.size for x in p.pieces(part))
        for unit in range(units):
            call(*(x.ctypes.data for x in (*memory, marks, starts)), unit, unit + 1)
        lines, order = marks.reshape(starts.size, -1).view(np.uint8)[:, :4 * length:64], starts // (length + 16)
        assert lines[order[:rows]].all() and not lines[order[rows + 1:]].any(), str(p)
