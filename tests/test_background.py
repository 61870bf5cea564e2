"""Modules of a program compile in threads while others are emitted; together they are the program."""

import sys

import numpy as np
import pytest

import chainrule as cr
from chainrule import runtime
from chainrule.compiler.pipeline import build
from chainrule.llvm import background, emit, ir
from chainrule.llvm.background import Background
from chainrule.llvm.builder import Builder
from chainrule.llvm.jit import Loaded, compile_module, host
from chainrule.trace import record

RNG = np.random.default_rng(0)
SIZES = (9, 17, 11, 23, 5, 13, 7)


def network(params, x):
    """Layers of different sizes, so that no statement is like another."""
    for w, b in params:
        x = np.tanh(x @ w + b) * np.exp(-(x[:, :1] ** 2))
    return np.sum(x**2)


PARAMS = [(RNG.normal(size=(m, n)), RNG.normal(size=n)) for m, n in zip(SIZES, SIZES[1:], strict=False)]
X = RNG.normal(size=(6, SIZES[0]))


def program():
    graph, _ = record(cr.grad(network), (PARAMS, X))
    return build(graph)


def test_a_long_program_has_several_modules():
    modules = []
    last = emit.emit_program(program(), host(), modules.append).module
    assert len(modules) > 2 and all(m.lines for m in modules)
    names = [name for m in (*modules, last) for name, f in m.globals.items() if f.blocks]
    assert len(names) == len(set(names)) and "run" in names
    assert max(f.lines for m in (*modules, last) for f in m.globals.values()) < 4 * emit.LONG
    assert emit.emit_program(program(), host()).module.lines > emit.LONG  # all of it in one


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_any_number_of_threads(threads, monkeypatch, tmp_path):
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(runtime, "_executables", {})
    monkeypatch.setattr(runtime, "cores", lambda: threads)
    expected = cr.grad(network)(PARAMS, X)
    got = cr.jit(cr.grad(network))(PARAMS, X)
    monkeypatch.setattr(runtime, "_executables", {})
    loaded = cr.jit(cr.grad(network))(PARAMS, X)  # from the disk
    for (w, b), (gw, gb), (lw, lb) in zip(expected, got, loaded, strict=True):
        np.testing.assert_allclose(gw, w, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(gb, b, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(lw, gw)
        np.testing.assert_array_equal(lb, gb)


def test_loops_around_what_is_left():
    def f(c, xs):
        def step(c, x):
            return network(PARAMS, c + x) * 1e-3 + c * 0.5, np.sum(c)
        return cr.scan(step, c, xs)
    xs = RNG.normal(size=(4, *X.shape))
    for got, wanted in zip(cr.jit(f)(X, xs), f(X, xs), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9)


def module_of(name, body):
    module = ir.Module(name)
    function = ir.Function(module, ir.FunctionType(ir.integer_type(64), [ir.integer_type(64)]), name)
    b = Builder(function.append_basic_block())
    b.ret(body(b, module, function.args[0]))
    return module


def test_functions_call_those_of_other_modules():
    first = module_of("twice", lambda b, module, x: b.add(x, x))
    twice = first.globals["twice"]
    second = module_of("more", lambda b, module, x: b.add(b.call(twice, [x]), ir.integer_type(64)(1)))
    assert not second.globals["twice"].blocks
    loaded = Loaded([compile_module(m, host()) for m in (first, second)], host(), ["more"])
    assert loaded.address("more")
    second.take(first)
    assert second.globals["twice"] is twice


def test_what_fails_in_a_thread_fails_for_the_caller(monkeypatch):
    def broken(module, target):
        if module.name == "bad":
            raise RuntimeError("no such instruction")
        return b""
    monkeypatch.setattr(background, "compile_module", broken)
    workshop = Background(host(), 2)
    for name in ("good", "bad", "good"):
        workshop.submit(ir.Module(name))
    with pytest.raises(RuntimeError, match="no such instruction"):
        workshop.finish(ir.Module("good"))


def test_threads_take_turns_more_often_only_meanwhile():
    usual = sys.getswitchinterval()
    with background.handing_over():
        with background.handing_over():
            assert sys.getswitchinterval() < usual
        assert sys.getswitchinterval() < usual
    assert sys.getswitchinterval() == usual


def test_llvm_says_what_it_cannot_parse():
    module = module_of("f", lambda b, module, x: ir.Value(ir.integer_type(32), "%nowhere"))
    with pytest.raises(RuntimeError, match="cannot parse"):
        compile_module(module, host())


def test_vector_constants():
    kind = ir.vector_type(ir.FLOAT, 2)
    assert ir.Constant(kind, [1.5, 1.5]).name == "splat (float 0x3ff8000000000000)"
    assert ir.Constant(kind, [1.5, -0.0]).name == "<float 0x3ff8000000000000, float 0x8000000000000000>"
    assert ir.vector_type(ir.FLOAT, 2) is kind
