"""The command ``chainrule``: what it prints, what it writes, what it refuses."""

import re

import numpy as np
import pytest

from chainrule import cache
from chainrule._version import __version__
from chainrule.command import main
from chainrule.errors import ArgumentError
from chainrule.inspect.expression import Expression, value_of


@pytest.fixture
def said(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments):
        status = main(arguments)
        out, err = capsys.readouterr()
        return status, out, err
    return run


def test_the_textbook_table(said, tmp_path):
    page = tmp_path / "f.html"
    status, out, _ = said("graph", "(x + y) * z", "x=1", "y=3", "z=-3", "--output", str(page), "--lang", "es")
    assert status == 0 and page.read_text(encoding="utf-8").count("<html lang=\"es\">") == 1
    rows = [[c.strip() for c in re.split("[│|]", line)[1:-1]] for line in out.splitlines() if "│" in line]
    assert rows == [["x", "", "1", "−3"], ["y", "", "3", "−3"], ["z", "", "−3", "4"], ["+", "x + y", "4", "−3"],
                    ["f", "(x + y) · z", "−12", "1"]]


def test_open(said, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda uri: opened.append(uri) or True)
    status, out, _ = said("graph", "tanh(x)", "x=[1,2]", "--open")
    assert status == 0 and len(opened) == 1 and "No gradients" in out


def test_explain(said, tmp_path):
    status, out, _ = said("explain", "sum((w @ x)**2)", "x=[1,2]", "w=[[1,2],[3,4]]", "--wrt", "w[0,1]")
    assert status == 0 and "∂C/∂w[0, 1] = 20   (backpropagation)" in out and "v[" not in out
    assert "\\frac{\\partial C}{\\partial x}" in said("explain", "x*x", "x=3", "--format", "latex")[1]
    assert said("explain", "x*x", "x=3", "--output", str(tmp_path / "e.md"))[0] == 0
    assert "$$" in (tmp_path / "e.md").read_text(encoding="utf-8")


def test_version_and_cache(said, monkeypatch, tmp_path):
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path))
    cache.save("one", cache.Entry((b"code",), 0, ()))
    _, out, _ = said("version")
    assert f"chainrule  {__version__}" in out and "bits" in out and f"1 programs, 0.0 MiB in {tmp_path}" in out
    assert said("cache")[1].startswith("1 programs")
    assert said("cache", "clear")[1].startswith("1 programs deleted") and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("arguments", "words"), [
    (["x + "], "'x +' is no formula"), (["x.real", "x=1"], "the part x.real does not belong"),
    (["__import__('os')", "x=1"], "Unknown function '__import__'"), (["sinn(x)", "x=1"], "function='sin'"),
    (["x + y", "x=1"], "No value for y"), (["x", "x=1", "y=2"], "no variable y"), (["1 + 2"], "without variables"),
    (["x", "x=one"], "'x=one' gives no variable a value"), (["x", "x"], "'x' gives no variable"),
    (["pi * x", "pi=3", "x=1"], "Pi has a meaning already"), (["x @ y", "x=[1,2]", "y=[1,2,3]"], "(2,) and (3,)"),
    (["sin(x, x)", "x=1"], "sin got 2 arguments"), (["x[5]", "x=[1,2]"], "5"),
    (["x", "x=[[1],[2,3]]"], "gives no variable"),
    (["x", "x=1", "--output", "/nonexistent/f.html"], "No such file")])
def test_refusals(said, arguments, words):
    status, _, err = said("graph", *arguments)
    assert status == 2 and err.startswith("chainrule: ") and words.lower() in err.lower(), err


@pytest.mark.parametrize("wrt", ["y", "x[3]", "x[0"])
def test_wrong_wrt(said, wrt):
    assert said("explain", "sum(x)", "x=[1,2]", "--wrt", wrt)[0] == 2


@pytest.mark.parametrize("text", [
    "(lambda: x)()", "[y for y in x]", "x if x else y", "x.__class__", "x['a']", "x[y]", "x[1:2]", "f'{x}'", "'a' * x",
    "x := 3", "True + x", "sin(x, out=y)", "(x, y)", "{x}", "x and y", "x < y", "~x", "x << 3", "1j * x", "sin(*x)",
    "().__class__", "x[True]", "sin.real", "await x", "...", "None", "b''"])
def test_nothing_else_is_evaluated(text):
    with pytest.raises(ArgumentError):
        Expression(text)


def test_deep_and_long_formulas_are_refused():
    for text in ("x+" * 5000 + "x", "-" * 3000 + "x", "(" * 3000 + "x" + ")" * 3000):
        with pytest.raises(ArgumentError):
            Expression(text)


def test_values():
    formula = Expression("9**9**9 * x + [1, e, pi][1] - w[1, -1] % 2")
    assert formula.names == ["x", "w"]
    assert formula(x=0.5, w=np.array([[1.0], [3.0]])) == np.inf
    assert Expression("-x ** 2 @ [1, 2]").names == ["x"]
    assert value_of("x = 1") == ("x", 1.0) and value_of("w=[1, 2]")[1].tolist() == [1.0, 2.0]
