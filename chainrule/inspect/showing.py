"""Where pictures go: to a file, to the browser, into a notebook."""

from __future__ import annotations

import sys
import tempfile
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.autodiff import gradients
from chainrule.errors import ArgumentError, MissingExtra, ShapeError
from chainrule.graph import Graph, type_name
from chainrule.inspect.drawing import dot, png, svg, words
from chainrule.inspect.page import frame, page
from chainrule.inspect.picture import picture
from chainrule.ops.transform import node_of
from chainrule.tracebacks import public

_ENDINGS = (".html", ".svg", ".png", ".dot")


@public
def save(graph: Graph, path: str | Path, values: Sequence[Any] = (), title: str = "", lang: str = "en",
         unfold: bool = False) -> Path:
    """:meth:`chainrule.graph.Graph.save`."""
    path = Path(path)
    if path.suffix not in _ENDINGS:
        raise ArgumentError.of(f"the file {path.name}", f"a name ending in {', '.join(_ENDINGS)}",
                               "graph.save('graph.html')")
    _known(lang)
    data = picture(graph, values, title)
    if path.suffix == ".png":
        content = png(data, unfold, lang)
    else:
        content = {".html": lambda: page(data, lang), ".svg": lambda: svg(data, unfold, lang),
                   ".dot": lambda: dot(data)}[path.suffix]().encode()
    path.write_bytes(content)
    return path


@public
def show(graph: Graph, values: Sequence[Any] = (), title: str = "", lang: str = "") -> Path | None:
    """:meth:`chainrule.graph.Graph.show`."""
    _known(lang or "en")
    data = picture(graph, values, title)
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if hasattr(shell, "kernel"):
        ipython.display.display(ipython.display.HTML(frame(data)))
        return None
    with tempfile.NamedTemporaryFile("w", prefix="chainrule-", suffix=".html", delete=False, encoding="utf-8") as file:
        file.write(page(data, lang))
    path = Path(file.name)
    if not webbrowser.open(path.as_uri()):
        print(f"No browser was found. The page is {path}")
    return path


@public
def backward(graph: Graph) -> Graph:
    """:meth:`chainrule.graph.Graph.backward`."""
    if len(graph.outputs) != 1 or graph.outputs[0].shape != () or not dtypes.is_float(graph.outputs[0].dtype):
        raise ShapeError.of(f"backward() of a graph with the results {', '.join(map(type_name, graph.outputs))}",
                            "one floating-point number", "cr.trace(lambda x: np.sum(f(x)), x).backward()")
    wrt = [i for i in graph.inputs if dtypes.is_float(i.dtype)]
    found = gradients(graph.outputs[0], wrt)
    results = [found.get(i, np.zeros(i.shape, i.dtype)) for i in wrt]
    return Graph(graph.inputs, [*graph.outputs, *map(node_of, results)])


def notebook(graph: Graph) -> str:
    """What a notebook shows of a graph."""
    return frame(picture(graph))


def notebook_svg(graph: Graph) -> str | None:
    """The picture for what shows no pages, if it can be drawn here."""
    try:
        return svg(picture(graph))
    except MissingExtra:
        return None


def _known(lang: str) -> None:
    if lang not in words():
        raise ArgumentError.of(f"lang={lang!r}", f"one of {', '.join(map(repr, words()))}", "lang='en'")


__all__ = ["backward", "notebook", "notebook_svg", "save", "show"]
