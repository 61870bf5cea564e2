"""Pictures: the passes as they are shown, folding, the files, and models."""

import json
import re
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from peer_cases import CASES, OURS, weights
from programs import arrays, loss, programs

import chainrule as cr
from chainrule.errors import ArgumentError, MissingExtra, ShapeError
from chainrule.inspect import drawing
from chainrule.inspect.groups import grouped
from chainrule.inspect.page import page
from chainrule.inspect.passes import Passes, result_of
from chainrule.inspect.picture import picture, statistics
from chainrule.inspect.unfold import Flat
from chainrule.layers import Dense
from chainrule.layers.base import Layer
from chainrule.models import Sequential
from chainrule.ops.declare import INPUT

W, XS = np.array([[0.5, -1.0], [0.25, 0.75]]), np.array([[1.0, 2.0], [0.5, -1.0], [-2.0, 0.0]])


def both(function, *args):
    """The passes of a function at ``args``."""
    flat = Flat(cr.trace(function, *args), args)
    return flat, Passes(flat, result_of(flat))


def assert_gradients(function, *args):
    """What the passes give for the inputs is what ``grad`` gives."""
    flat, passes = both(function, *args)
    wanted = cr.grad(function, tuple(range(len(args))))(*args)
    for node, want in zip(flat.inputs, wanted, strict=True):
        got = passes.grad.get(node, np.zeros(node.shape, node.dtype))
        assert got.dtype == want.dtype
        scale = float(np.max(np.abs(want[np.isfinite(want)]), initial=1.0)) if want.ndim else 1.0
        np.testing.assert_allclose(got, want, rtol=64 * np.finfo(want.dtype).eps,
                                   atol=64 * np.finfo(want.dtype).eps * scale)
    return flat, passes


def textbook():
    x, y, z = cr.variables(x=1.0, y=3.0, z=-3.0)
    p = x + y
    f = p * z
    return f


def recurrent(w, xs):
    def step(h, x):
        h = np.tanh(h @ w + x)
        return h, h
    return np.sum(cr.scan(step, np.zeros(2), xs)[1] ** 2)


# ---------------------------------------------------------------- the passes


def test_the_textbook_graph():
    data = picture(textbook().graph)
    assert [(n["name"], n["symbol"], n["value"]["text"], n["grad"]["text"]) for n in data["nodes"]] == [
        ("x", "x", "1", "−3"), ("y", "y", "3", "−3"), ("z", "z", "−3", "4"), ("p", "+", "4", "−3"),
        ("f", "×", "−12", "1")]
    steps = [(data["nodes"][e["from"]]["name"], e["rule"], e["local"], e["in"], e["out"])
             for e in (data["edges"][k] for k in data["backward"])]
    assert steps == [("p", "z", "−3", "1", "−3"), ("z", "p", "4", "1", "4"), ("x", "1", "1", "−3", "−3"),
                     ("y", "1", "1", "−3", "−3")]
    assert data["title"] == "f = p · z" and data["nodes"][4]["filled"] == "4 · (−3)"


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(programs())
def test_the_passes_are_grad(program):
    shapes, steps, seed = program
    assert_gradients(lambda *args: loss(steps, *args) + 0.0 * np.sum(args[0]), *arrays(shapes, seed))


@pytest.mark.parametrize("case", [c for c in CASES if not c.places], ids=lambda c: c.name)
def test_the_passes_are_grad_of_every_function(case):
    cotangent = weights(case, "float64")
    with np.errstate(all="ignore"):
        assert_gradients(lambda *args: np.sum(case.f(OURS, *args) * cotangent), *case.arrays("float64"))


@pytest.mark.parametrize("function", [
    recurrent,
    lambda w, xs: np.sum(cr.checkpoint(np.tanh)(xs @ w) ** 2),
    lambda w, xs: cr.cond(w[0, 0] > 0, lambda v: np.sum(v * v), lambda v: np.sum(v), w) + np.sum(xs),
    lambda w, xs: np.sum(cr.fori_loop(0, 3, lambda i, v: np.tanh(v @ w), xs)),
    lambda w, xs: np.sum(np.linalg.inv(w) @ xs.T) + np.linalg.det(w),
    lambda w, xs: np.sum(np.linalg.svd(xs, full_matrices=False)[1] * w[0]),
], ids=["scan", "call", "branch", "loop", "matrices", "several results"])
def test_bodies_are_entered(function):
    flat, _ = assert_gradients(function, W, XS)
    assert not any(node.bodies for node in flat.nodes)


def test_a_loop_without_reverse_mode_is_unrolled():
    def halved(x):
        return cr.while_loop(lambda v: v > 1, lambda v: v / 2, x)
    flat, passes = both(halved, np.float64(9.0))
    assert flat.outputs[0].value == 9 / 16 and passes.grad[flat.inputs[0]] == 1 / 16
    assert sum(n.op.name == "div" for n in flat.nodes) == 4


def test_long_loops_stay_one_node():
    def drift(x):
        return cr.scan(lambda c, _: (np.sin(c), None), x, length=100_000)[0]
    flat = Flat(cr.trace(drift, 1.0))
    assert [n.op.name for n in flat.nodes if n.op is not INPUT] == ["scan", "project"]


def test_custom_rules_are_kept():
    @cr.custom_jvp
    def twice(x):
        return x * x
    twice.defjvp(lambda primals, tangents: (twice(*primals), 7.0 * tangents[0]))
    _, passes = both(lambda x: twice(x) + 0 * x, np.float64(3.0))
    assert passes.grad[passes.flat.inputs[0]] == 7.0


def test_values_come_in_the_containers_of_the_arguments():
    graph = cr.trace(lambda p, x: np.sum(p["w"] * x + p["b"]), {"w": XS, "b": 1.0}, XS)
    data = picture(graph, [{"w": XS, "b": 2.0}, XS])
    assert {n["name"]: n["value"]["text"] for n in data["nodes"] if n["type"] == "float64[]"} == {
        "p['b']": "2", "f": f"{np.sum(XS * XS) + 12:.6g}"}


def test_without_values_and_with_several_results():
    graph = cr.trace(lambda x: (np.sin(x), np.cos(x)), np.ones(3))
    data = picture(graph)
    assert data["output"] == -1 and data["backward"] == [] and "value" not in data["nodes"][0]
    assert [data["nodes"][k]["name"] for k in data["outputs"]] == ["f1", "f2"]


@pytest.mark.parametrize(("values", "words"), [
    ((np.ones(3),), "1 values for a graph of 2 inputs"),
    ((np.ones(3), np.ones(4)), "the value of y is float64[4]".capitalize()),
    ((np.ones(3), np.ones(3) * 1j), "What fits: float64[3]")])
def test_wrong_values(values, words):
    with pytest.raises(ShapeError, match=re.escape(words)):
        picture(cr.trace(lambda x, y: x * y, np.ones(3), np.ones(3)), values)


@pytest.mark.parametrize(("function", "title"), [(lambda x: x, "x"), (lambda x: 3.0, "f = 3"), (np.sin, "f = sin(x)")])
def test_the_smallest_graphs(function, title):
    data = picture(cr.trace(function, 2.0), [2.0])
    assert data["title"] == title and len(data["outputs"]) == 1 and drawing.svg(data).startswith("<svg")


def test_statistics():
    found = statistics(np.array([0.0, 1.0, 2.0, np.nan, np.inf]))
    assert (found["mean"], found["min"], found["max"], found["odd"], sum(found["bins"])) == ("1", "0", "2", 2, 3)
    assert statistics(np.float32(2.5)) == {"text": "2.5", "shape": []}
    assert "bins" not in statistics(np.ones(5)) and "mean" not in statistics(np.zeros((0, 2)))
    assert statistics(np.array([True, False]))["mean"] == "0.5"


# ---------------------------------------------------------------- groups


class Block(Layer):
    def build(self, input_shape):
        self.w = self.add_weight((4, 4))

    def call(self, x, training=False):
        return x + np.tanh(x @ self.w)


def model_of(*layers):
    cr.set_seed(1)
    model = Sequential(layers)
    model.compile(loss="mse")
    return model


BATCH = np.linspace(-1, 1, 12).reshape(3, 4), np.ones((3, 1))


def test_models_fold_by_layer():
    model = model_of(Dense(4, input_dim=4, activation="relu"), Block(), Dense(1))
    graph = model.graph(*BATCH)
    data = picture(graph)
    assert data["title"] == "C(x, y)"
    assert [g["name"] for g in data["groups"]] == ["dense", "block", "dense_1", "loss mean_squared_error"]
    place = {n["name"]: data["groups"][n["group"]]["name"] if n["group"] >= 0 else "" for n in data["nodes"]}
    assert (place["x"], place["dense/kernel"], place["block/w"]) == ("", "dense", "block")
    grads = {n["name"]: n["grad"] for n in data["nodes"] if "grad" in n}
    assert {"z²", "a²", "dense_1/bias"} <= grads.keys()
    assert float(graph.outputs[0].value) == pytest.approx(model.evaluate(*BATCH, verbose=0))


def test_shared_weights_are_one_node_with_the_sum():
    shared = Block(name="block")
    model = model_of(Dense(4, input_dim=4), shared, Dense(4), shared, Dense(1))
    graph = model.graph(*BATCH)
    data = picture(graph)
    assert [g["name"] for g in data["groups"]].count("block") == 2  # used twice: two places, no circle
    weight = next(i for i, n in enumerate(data["nodes"]) if n["name"] == "block/w")
    uses = [e for e in data["edges"] if e["from"] == weight]
    assert data["nodes"][weight]["group"] == -1 and len(uses) == 2
    flat = Flat(graph)
    passes = Passes(flat, result_of(flat))
    node = next(n for n in flat.inputs if n.name == "block/w")
    np.testing.assert_array_equal(passes.grad[node], sum(e.outgoing for e in passes.out_of[node]))


def test_a_model_without_targets():
    model = model_of(Dense(2, input_dim=4, activation="tanh"))
    graph = model.graph(BATCH[0])
    np.testing.assert_allclose(graph.outputs[0].value, model.predict(BATCH[0]), rtol=1e-6)


def test_steps_of_a_loop_correspond():
    data = picture(cr.trace(recurrent, W, XS), [W, XS])
    kinds = [(g["kind"], g["name"].split(" (")[0]) for g in data["groups"]]
    assert kinds == [("loop", "scan"), ("step", "1 / 3"), ("step", "2 / 3"), ("step", "3 / 3")]
    steps = [[n["op"] for n in data["nodes"] if n["group"] == k] for k in (1, 2, 3)]
    assert steps[0] == steps[1] == steps[2] and "contract" in steps[0]


def test_groups_have_no_way_out_and_back():
    shared = Block(name="block")
    graph = model_of(Dense(4, input_dim=4), shared, shared, Dense(4), shared, Dense(1)).graph(*BATCH)
    flat = Flat(graph)
    _, of = grouped(flat, flat.nodes)
    inner = {g: {n for n in flat.nodes if of[n] is g} for g in set(of.values()) if g is not None}
    for members in inner.values():
        outside = {n for n in flat.nodes if n not in members and not members.isdisjoint(n.inputs)}
        for n in flat.nodes:
            if n not in members and not outside.isdisjoint(n.inputs):
                outside.add(n)
        assert not any(outside & set(n.inputs) for n in members)


def test_large_programs_without_groups_fold_by_lines():
    def iterated(x):
        for _ in range(200):
            x = np.sin(x) * 2.0
        return np.sum(x)
    data = picture(cr.trace(iterated, np.ones(3)), [np.ones(3)])
    line = iterated.__code__.co_firstlineno + 2
    assert [(g["kind"], g["name"]) for g in data["groups"][:2]] == [("lines", f"test_inspect.py:{line}")] * 2
    assert len(data["groups"]) == 11 and drawing.svg(data).count('class="item') == 12


# ---------------------------------------------------------------- files


def test_the_backward_graph_is_a_graph():
    graph = cr.trace(lambda w, x: np.sum(np.tanh(x @ w)), W, XS).backward()
    value, by_w, by_x = graph.evaluate(W, XS)
    wanted = cr.grad(lambda w, x: np.sum(np.tanh(x @ w)), (0, 1))(W, XS)
    np.testing.assert_allclose(by_w, wanted[0])
    np.testing.assert_allclose(by_x, wanted[1])
    data = picture(graph, [W, XS])
    assert any("backward pass of tanh" in n.get("source", "") for n in data["nodes"])
    with pytest.raises(ShapeError):
        cr.trace(np.sin, XS).backward()


def test_files(tmp_path):
    graph = textbook().graph
    text = graph.save(tmp_path / "f.html", lang="es").read_text(encoding="utf-8")
    own = re.sub(r"https://www.npmjs.com/\S+|http://www.w3.org/\S+", "", text)
    assert '<html lang="es">' in text and "http:" not in own and "https:" not in own
    assert json.loads(re.search(r'id="data">(.*?)</script>', text)[1])["output"] == 4
    dot = graph.save(tmp_path / "f.dot").read_text()
    assert 'n3 -> n4 [label="4\\n−3"];' in dot
    drawn = graph.save(tmp_path / "f.svg").read_text()
    assert drawn.startswith("<svg") and drawn.count('class="item') == 5 and ">−12<" in drawn
    assert graph.save(tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ArgumentError, match="html"):
        graph.save(tmp_path / "f.gif")
    with pytest.raises(ArgumentError, match="'en', 'es'"):
        graph.save(tmp_path / "f.html", lang="fr")
    assert not (tmp_path / "f.gif").exists()


def test_svg_folds_and_unfolds():
    data = picture(model_of(Dense(4, input_dim=4), Block(), Dense(1)).graph(*BATCH))
    folded, unfolded = drawing.svg(data), drawing.svg(data, unfold=True)
    assert folded.count('class="item') == 6 and unfolded.count('class="item') == len(data["nodes"])
    loop = picture(cr.trace(recurrent, W, XS), [W, XS])
    one, all_ = drawing.svg(loop), drawing.svg(loop, unfold=True)
    assert one.count(">tanh<") == 1 and all_.count(">tanh<") == 3 and 'class="line back"' in one


def test_texts_are_data_not_markup():
    x, = cr.variables(x=1.0)
    x.name = "</script><b>"
    f = x * x
    text = page(picture(f.graph, title="<i>"))
    assert "</script><b>" not in text and "<title>&lt;i&gt;</title>" in text
    assert "<b>" not in drawing.svg(picture(f.graph))


def test_the_words_are_the_same_in_both_languages():
    words = drawing.words()
    assert words["en"].keys() == words["es"].keys()
    used = set(re.findall(r"words\.(\w+)", drawing.asset("page.js") + drawing.asset("picture.js")))
    used |= set(re.findall(r'data-(?:label|text)="(\w+)"', drawing.asset("page.html")))
    assert used <= words["en"].keys()


def test_show(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda uri: opened.append(uri) or len(opened) < 2)
    path = textbook().graph.show()
    assert opened == [path.as_uri()] and "−12" in path.read_text(encoding="utf-8")
    textbook().graph.show()
    assert "No browser was found" in capsys.readouterr().out


def test_notebooks(monkeypatch):
    graph = textbook().graph
    assert graph._repr_html_().startswith("<iframe srcdoc=") and graph._repr_svg_().startswith("<svg")

    def missing(name):
        raise ModuleNotFoundError(name)
    monkeypatch.setattr(drawing, "lazy", missing)
    assert graph._repr_svg_() is None
    with pytest.raises(MissingExtra, match=re.escape("pip install 'chainrule[pictures]'")):
        drawing.png(picture(graph))
    shown = []
    kernel = type("Shell", (), {"kernel": None})()
    display = type("display", (), {"display": staticmethod(shown.append), "HTML": staticmethod(lambda text: text)})
    monkeypatch.setitem(sys.modules, "IPython",
                        type("IPython", (), {"get_ipython": staticmethod(lambda: kernel), "display": display}))
    assert graph.show() is None and shown[0].startswith("<iframe")
