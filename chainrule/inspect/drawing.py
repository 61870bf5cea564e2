"""Pictures without a browser: SVG and PNG by the program of the page, and DOT for other tools.

The layout library is dagre, JavaScript under the MIT licence (``assets/dagre.min.js``, version 3.1.3 as published on
the npm registry); QuickJS runs it.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from chainrule.errors import MissingExtra
from chainrule.lazy import lazy

_STACK = 256 << 20  # bytes that the layout of a deep graph may need: it recurses along the longest path
# what dagre uses of a browser
_BROWSER = ("globalThis.structuredClone = v => v === undefined ? v : JSON.parse(JSON.stringify(v));"
            "globalThis.console = {log() {}, warn() {}, error() {}};")


@cache
def asset(name: str) -> str:
    """The text of a file in ``assets``."""
    return (files("chainrule.inspect") / "assets" / name).read_text(encoding="utf-8")


@cache
def words() -> dict[str, dict[str, str]]:
    """The words of the page by language: ``en`` and ``es``."""
    return json.loads(asset("words.json"))


def svg(data: dict[str, Any], unfold: bool = False, lang: str = "en") -> str:
    """The picture as an SVG file.

    Raises:
        MissingExtra: without the package quickjs-ng.
    """
    context = _needed("quickjs", "quickjs-ng").Context()
    context.set_max_stack_size(_STACK)
    for text in (_BROWSER, asset("dagre.min.js"), asset("picture.js").replace("const Picture", "globalThis.Picture")):
        context.eval(text)
    context.eval("globalThis.file = (data, options) => "
                 "JSON.stringify(Picture.file(JSON.parse(data), JSON.parse(options)));")
    options = {"unfold": unfold, "words": words()[lang]}
    return str(json.loads(context.get("file")(json.dumps(data), json.dumps(options))))


def png(data: dict[str, Any], unfold: bool = False, lang: str = "en") -> bytes:
    """The picture as a PNG file.

    Raises:
        MissingExtra: without the packages quickjs-ng, resvg-py and matplotlib, whose font it is drawn with.
    """
    draw, fonts = _needed("resvg_py", "resvg-py"), _needed("matplotlib")
    folder = f"{fonts.get_data_path()}/fonts/ttf"
    return bytes(draw.svg_to_bytes(svg_string=svg(data, unfold, lang), skip_system_fonts=True, zoom=2,
                                   font_files=[f"{folder}/DejaVuSans.ttf"], font_family="DejaVu Sans"))


def dot(data: dict[str, Any]) -> str:
    """The graph in the language of Graphviz: groups as clusters, values and gradients as labels."""
    lines = ["digraph chainrule {", "  rankdir=LR;", f"  label={json.dumps(data['title'], ensure_ascii=False)};",
             '  node [shape=box, style=rounded, fontname="sans-serif"]; edge [fontname="sans-serif", fontsize=10];']

    def inside(group: int, indent: str) -> None:
        for i, node in enumerate(data["nodes"]):
            if node["group"] == group:
                text = node["symbol"] if node["name"] in ("", node["symbol"]) else f"{node['symbol']}\n{node['name']}"
                lines.append(f"{indent}n{i} [label={json.dumps(text, ensure_ascii=False)}];")
        for k, child in enumerate(data["groups"]):
            if child["p"] == group:
                lines.append(f"{indent}subgraph cluster_{k} {{")
                lines.append(f"{indent}  label={json.dumps(child['name'], ensure_ascii=False)};")
                inside(k, indent + "  ")
                lines.append(indent + "}")
    inside(-1, "  ")
    for edge in data["edges"]:
        parts = [data["nodes"][edge["from"]].get("value", {}).get("text", ""), edge.get("out", "")]
        text = "\n".join(p for p in parts if p)
        label = f" [label={json.dumps(text, ensure_ascii=False)}]" if text else ""
        lines.append(f"  n{edge['from']} -> n{edge['to']}{label};")
    return "\n".join([*lines, "}"]) + "\n"


def _needed(module: str, package: str = "") -> Any:
    try:
        return lazy(module)
    except ModuleNotFoundError:
        raise MissingExtra.of(f"this picture needs the package {package or module}, which is not installed",
                              "the extra 'pictures'; the page (graph.save('graph.html')) needs none",
                              "pip install 'chainrule[pictures]'") from None


__all__ = ["asset", "dot", "png", "svg", "words"]
