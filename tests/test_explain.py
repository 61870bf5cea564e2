"""The chain rule written out: its numbers are those of ``grad``, its formulas those of the operations."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from peer_cases import CASES, OURS, weights
from programs import arrays, loss, programs
from rich.console import Console
from test_inspect import XS, Block, W, model_of, recurrent

import chainrule as cr
from chainrule import inspect
from chainrule.errors import ArgumentError, MissingExtra, ShapeError, UsageError
from chainrule.inspect import write
from chainrule.inspect.explaining import finite_difference
from chainrule.inspect.notation import Term, latex, name, plain
from chainrule.inspect.unfold import Flat
from chainrule.layers import Dense

spec = importlib.util.spec_from_file_location(
    "four_layers", Path(__file__).parent.parent / "examples" / "four_layers.py")
four_layers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(four_layers)


def explained(rows=2, **options):
    rng = np.random.default_rng(0)
    params = four_layers.initial_parameters(rng)
    x, y = four_layers.data(rng, rows)
    names = {**{f"params['weights'][{k}]": f"W{'¹²³'[k]}" for k in range(3)},
             **{f"params['biases'][{k}]": f"b{'¹²³'[k]}" for k in range(3)},
             "z2": "z²", "a2": "a²", "z3": "z³", "a3": "a³"}
    options = {"wrt": "params['weights'][1][1, 1]", "names": names, **options}
    return cr.explain(four_layers.cost, (params, x, y), **options), four_layers.gradients_by_hand(params, x, y)


def assert_explains(function, args, wrt=0):
    """The gradient is that of ``grad``, and the paths add up to it."""
    found = cr.explain(function, args, wrt, paths=5)
    wanted = cr.grad(function, wrt)(*args)
    np.testing.assert_allclose(found.gradient, wanted, rtol=1e-12, atol=1e-12 * max(1, np.abs(wanted).max(initial=0)))
    whole = np.asarray(found.gradient)[found.element] if np.ndim(found.gradient) else found.gradient
    assert sum(w.value for w in found.paths) + found.rest == pytest.approx(float(whole), rel=1e-9, abs=1e-12)
    for way in found.paths:
        assert np.prod([s.value for s in way.steps]) == pytest.approx(way.value)
    return found


# ---------------------------------------------------------------- the four-layer network


def test_the_equations_of_the_four_layer_network():
    text = " ".join(str(explained()[0]).split())
    for line in ("z² = x @ W¹ + b¹ =", "a² = tanh(z²) =", "z³ = a² @ W² + b² =", "a³ = tanh(z³) =",
                 "s = a³ @ W³ + b³ =", "C = Σ((s - y)²) / 2 / 2 = ", "∂C/∂s = 0.5 · (s - y) =",
                 "∂C/∂a³ = ∂C/∂s @ W³ᵀ =",
                 "∂C/∂z³ = (1 - (a³)²) ⊙ ∂C/∂a³ =", "(the local gradient δ³)", "∂C/∂W² = a²ᵀ @ ∂C/∂z³"):
        assert line in text, line


def test_a_weight_step_by_step():
    found, by_hand = explained(rows=1)
    way, = found.paths
    assert [plain(s.formula) for s in way.steps] == ["a²[0, 1]", "1 - a³[0, 1]²", "W³[1, 0]", "s[0, 0] - y[0, 0]"]
    assert found.gradient == pytest.approx(by_hand["weights"][1][1, 1], rel=1e-14)
    assert found.rest == 0.0 and found.error < 1e-8
    assert "∂C/∂W²[1, 1] = ∂C/∂s[0, 0] · ∂s[0, 0]/∂a³[0, 1] · ∂a³[0, 1]/∂z³[0, 1] · ∂z³[0, 1]/∂W²[1, 1]" in str(found)


def test_many_paths_are_added_up():
    found, by_hand = explained(rows=8, wrt="params['weights'][0][0, 0]", paths=3)
    assert len(found.paths) == 3 and found.rest != 0  # 8 rows by 3 units: 24 paths
    assert sum(w.value for w in found.paths) + found.rest == pytest.approx(by_hand["weights"][0][0, 0], rel=1e-12)
    sizes = [abs(w.value) for w in found.paths]
    assert sizes == sorted(sizes, reverse=True) and "all other paths" in str(found)
    assert len(explained(rows=8, wrt="params['weights'][0][0, 0]", paths=100)[0].paths) == 24


def test_a_whole_array():
    found, by_hand = explained(wrt="params['weights'][2]")
    np.testing.assert_allclose(found.gradient, by_hand["weights"][2], rtol=1e-14)
    assert found.element == (int(np.argmax(np.abs(by_hand["weights"][2]))), 0)


# ---------------------------------------------------------------- agreement with grad


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(programs(smooth=True))
def test_random_programs(program):
    shapes, steps, seed = program
    found = assert_explains(lambda *args: loss(steps, *args) + 0.1 * np.sum(np.sin(args[0])), arrays(shapes, seed))
    assert found.error < 1e-4


@pytest.mark.parametrize("case", [c for c in CASES if not c.places and c.args[0].dtype.kind == "f" and c.args[0].size],
                         ids=lambda c: c.name)
def test_every_function(case):
    cotangent = weights(case, "float64")
    with np.errstate(all="ignore"):
        assert_explains(lambda *args: np.sum(case.f(OURS, *args) * cotangent), case.arrays("float64"))


def branching(x):
    y = np.tanh(x)
    return y * np.exp(y) / (1 + x * y) if x > 0 else x


@pytest.mark.parametrize(("function", "args"), [
    (lambda w, xs: np.sum(np.tanh(np.tanh(xs @ w) @ w)), (W, XS)), (branching, (0.7,)), (recurrent, (W, XS)),
    (lambda x: x, (2.0,)), (lambda x: x * x * x + x * x, (2.0,)), (lambda x: np.sum(np.sort(x)[1:]), (XS[0],)),
    (lambda x: np.float64(3.0) + 0 * x, (2.0,)),
    (lambda w, xs: cr.cond(w[0, 0] > 0, lambda v: np.sum(v * v), lambda v: np.sum(v), w), (W, XS)),
], ids=["shared weights", "branch", "loop", "itself", "several uses", "order", "constant", "cond"])
def test_programs(function, args):
    found = assert_explains(function, args)
    assert found.error < 1e-6
    for text in (str(found), found.markdown(), found.latex(), found.html()):
        assert len(text) > 100


def test_uses_are_grouped_by_where_they_go():
    text = str(cr.explain(lambda w, x: np.sin(x * w) * w, (2.0, 3.0), "w"))
    assert "by where they go first: v₁, C = " in text
    assert "path 2" in text and "(the sum over all paths)" in text


def test_choices_and_powers():
    text = " ".join(str(cr.explain(lambda x: np.sum(np.where(x > 1, x**2.5, 0.0)), (np.array([1.0, 2.0]),))).split())
    assert "∂C/∂v₁ = ∂C/∂v₂ if x > 1 else 0" in text and "∂C/∂x = 2.5 · x^1.5 ⊙ ∂C/∂v₁" in text
    assert "= 1 · (1 if x[1] > 1 else 0) · 2.5 · x[1]^1.5 = 1 · 1 · 7.07107 = 7.07107" in text


def test_no_way():
    found = cr.explain(lambda x, y: x * 1.0, (2.0, 3.0), "y")
    assert found.gradient == 0.0 and found.paths == () and "There is no path" in str(found)


def test_float32_is_checked_in_float64():
    rng = np.random.default_rng(3)
    x = rng.normal(size=5).astype(np.float32)
    found = cr.explain(lambda x: np.mean(np.tanh(x * np.float32(0.3)) ** 2), (x,))
    assert found.gradient.dtype == np.float32 and found.error < 1e-5


# ---------------------------------------------------------------- models


BATCH = np.linspace(-1, 1, 8).reshape(2, 4), np.ones((2, 1))


def test_models():
    model = model_of(Dense(3, input_dim=4, activation="tanh"), Dense(2, activation="tanh"), Dense(1))
    found = model.explain(*BATCH, weight="dense_1/kernel[1, 1]")
    text = str(found)
    for line in ("z² = x @ dense/kernel + dense/bias", "a² = tanh(z²)", "z³ = a² @ dense_1/kernel + dense_1/bias",
                 "z⁴ = a³ @ dense_2/kernel", "∂C/∂z³", "(the local gradient δ³)"):
        assert line.split(" = ")[0] in text and line.split(" = ")[-1] in text
    assert found.error < 1e-4 and "[1, 1]" in text
    kernel = model.layers[1].weights[0].array
    base = []
    for moved in (0.01, -0.01):
        kernel[1, 1] += moved
        base.append(model.evaluate(*BATCH, verbose=0))
        kernel[1, 1] -= moved
    assert found.gradient == pytest.approx((base[0] - base[1]) / 0.02, rel=1e-3)


def test_shared_layers_of_models():
    shared = Block(name="block")
    found = model_of(Dense(4, input_dim=4), shared, shared, Dense(1)).explain(*BATCH, weight="block/w[2, 3]", paths=4)
    assert found.error < 1e-4


@pytest.mark.parametrize(("weight", "words"), [
    ("dense/kernl", "weight='dense/kernel'"), ("dense/kernel[9, 9]", "2 whole numbers within the shape [4, 1]"),
    ("dense/kernel[0]", "2 whole numbers"), ("dense/kernel[a, 0]", "2 whole numbers"), ("x", "unknown weight 'x'")])
def test_wrong_weights(weight, words):
    with pytest.raises(ArgumentError, match=re.escape(words.replace("unknown", "Unknown"))):
        model_of(Dense(1, input_dim=4)).explain(*BATCH, weight=weight)


def test_before_compile():
    model = model_of(Dense(1, input_dim=4))
    model.optimizer = None
    with pytest.raises(UsageError, match="before compile"):
        model.explain(*BATCH, weight="dense/kernel")


# ---------------------------------------------------------------- arguments and formats


@pytest.mark.parametrize(("args", "error", "words"), [
    ((lambda x: x, (np.ones(2),)), ShapeError, "one floating-point number"),
    ((lambda x: x, (2.0,), "y"), ArgumentError, "Unknown input 'y'"),
    ((lambda x: np.sum(x), (np.ones(2),), "x[2]"), ArgumentError, "1 whole numbers within the shape [2]"),
    ((lambda p: p[0], ([2.0, 3.0],), 0), ArgumentError, "p[0]"),
    ((lambda n: n * 1.0, (np.arange(1)[0],), "n"), ArgumentError, "dtype int64")])
def test_wrong_arguments(args, error, words):
    with pytest.raises(error, match=re.escape(words)):
        cr.explain(*args)


def test_formats(tmp_path, monkeypatch):
    found = explained()[0]
    right = r"\left(1 - {\left(a^{3}\right)}^{2}\right) \odot \frac{\partial C}{\partial a^{3}}"
    assert rf"\frac{{\partial C}}{{\partial z^{{3}}}} &= {right}" in found.latex()
    assert found.markdown().count("$$") % 2 == 0 and found._repr_markdown_() == found.markdown()
    html = found.save(tmp_path / "e.html").read_text(encoding="utf-8")
    assert html.count("<math") > 20 and "<script" not in html and "src=" not in html
    for ending, text in ((".txt", found.text()), (".md", found.markdown()), (".tex", found.latex())):
        assert found.save(tmp_path / f"e{ending}").read_text(encoding="utf-8") == text
    with pytest.raises(ArgumentError, match=r"\.tex"):
        found.save(tmp_path / "e.doc")
    console = Console(width=200, force_terminal=False)
    with console.capture() as capture:
        console.print(found)
    assert "z³ = a² @ W² + b²" in capture.get() and "W²[1, 1]" in capture.get()

    def missing(name):
        raise ModuleNotFoundError(name)
    monkeypatch.setattr(write, "lazy", missing)
    with pytest.raises(MissingExtra, match="latex2mathml"):
        found.html()


def test_notation():
    a, b = name("a"), name("b1")
    difference = Term("infix", "-", (a, Term("infix", "-", (b, a))))
    assert plain(difference) == "a - (b1 - a)" and latex(difference) == r"a - \left(b_{1} - a\right)"
    assert latex(name("alpha_2")) == r"\alpha_{2}" and latex(name("w['x_y']")) == r"\mathtt{w['x\_y']}"
    assert latex(Term("number", "-1e-05")) == r"-1 \cdot 10^{-5}"
    assert plain(Term("infix", "·", (a, Term("number", "-2.0")))) == "a · (-2)"


def test_the_room_is_reached_by_its_name():
    assert cr.inspect is inspect and cr.explain is inspect.explain
    with pytest.raises(AttributeError, match="explian"):
        _ = cr.explian


def test_finite_differences_follow_loops():
    flat = Flat(cr.trace(recurrent, W, XS), (W, XS))
    wanted = cr.grad(recurrent)(W, XS)
    assert finite_difference(flat, flat.inputs[0], (0, 1)) == pytest.approx(wanted[0, 1], rel=1e-6)


def test_elements_are_followed_through_what_only_moves_them():
    def f(x, k):
        y = np.pad(cr.nn.conv(x, k), ((0, 0), (1, 0), (0, 0)))
        z = y[:, ::-1].T
        return np.sum(z[0, 1:] ** 3)
    args = np.arange(1.0, 6.0).reshape(1, 5, 1), np.array([0.5, -1.0, 2.0]).reshape(3, 1, 1)
    found = assert_explains(f, args, 1)
    assert found.error < 1e-6
    formulas = {plain(s.formula) for way in found.paths for s in way.steps if s.formula is not None}
    assert any(re.fullmatch(r"x\[0, \d, 0\]", text) for text in formulas), formulas
