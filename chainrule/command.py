"""The command ``chainrule``: pictures and explanations of formulas, what it runs on, and its cache.

::

    chainrule graph "(x + y) * z" x=1 y=3 z=-3 --open
    chainrule explain "tanh(w * x + b)" x=2 w=0.5 b=0 --wrt w
    chainrule version
    chainrule cache clear
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llvmlite
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from chainrule import cache
from chainrule._version import __version__
from chainrule.errors import ArgumentError, ChainruleError, unknown_name
from chainrule.graph import Graph, user_source
from chainrule.inspect.explaining import explain
from chainrule.inspect.expression import Expression, value_of
from chainrule.inspect.names import forget_line
from chainrule.inspect.picture import picture
from chainrule.inspect.showing import save, show
from chainrule.llvm.jit import host
from chainrule.trace import record


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status: 0, or 2 for what cannot be done."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ChainruleError, OSError) as error:
        print(f"chainrule: {error}", file=sys.stderr)
        return 2
    except (ArithmeticError, IndexError, TypeError, ValueError) as error:  # NumPy's own, of the formula's making
        print(f"chainrule: the formula cannot be computed: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("chainrule", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    graph = _formula(commands, "graph", _graph, "values and gradients of a formula, as a table and as a picture")
    graph.add_argument("--open", action="store_true", help="show the picture in the browser")
    graph.add_argument("--output", type=Path, metavar="FILE", help="write it: .html, .svg, .png or .dot")
    graph.add_argument("--lang", choices=("en", "es"), default="en", help="the language of the page")
    story = _formula(commands, "explain", _explain, "a derivative by the chain rule, step by step")
    story.add_argument("--wrt", metavar="NAME", help="by what to differentiate: x, or an element x[0]")
    story.add_argument("--paths", type=int, default=8, help="how many paths are written out")
    story.add_argument("--format", choices=("text", "markdown", "latex", "html"), default="text")
    story.add_argument("--output", type=Path, metavar="FILE", help="write it: .txt, .md, .tex or .html")
    commands.add_parser("version", help="versions, processor, cache").set_defaults(run=_version)
    kept = commands.add_parser("cache", help="the folder of compiled programs")
    kept.add_argument("what", choices=("clear", "show"), nargs="?", default="show")
    kept.set_defaults(run=_cache)
    return parser


def _formula(commands: Any, name: str, run: Any, what: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=what, description=what)
    parser.add_argument("formula", help='such as "(x + y) * z"')
    parser.add_argument("values", nargs="*", metavar="NAME=VALUE", help="such as x=1 or w=[2,3]")
    parser.set_defaults(run=run)
    return parser


def _recorded(options: argparse.Namespace) -> tuple[Expression, dict[str, Any]]:
    formula = Expression(options.formula)
    values = dict(map(value_of, options.values))
    unused = [name for name in values if name not in formula.names]
    if unused:
        raise ArgumentError.of(f"the formula has no variable {', '.join(unused)}", ", ".join(formula.names), "")
    if not formula.names:
        raise ArgumentError.of("a formula without variables", "one at least", 'chainrule graph "x * x" x=3')
    missing = [name for name in formula.names if name not in values]
    if missing:
        raise ArgumentError.of(f"no value for {', '.join(missing)}", "one for each variable", f"{missing[0]}=1.0")
    return formula, {name: values[name] for name in formula.names}


def _graph(options: argparse.Namespace) -> None:
    formula, values = _recorded(options)
    graph, _ = record(lambda v: formula(**v), (values,), values=True)
    forget_line(graph, user_source())
    for node, name in zip(graph.inputs, sorted(values), strict=True):
        node.name = name
    graph = Graph([next(i for i in graph.inputs if i.name == name) for name in values], graph.outputs)
    title = f"f = {formula.text.strip()}"
    _print(picture(graph, title=title, result="f"))
    if options.output is not None:
        print(f"written: {save(graph, options.output, title=title, lang=options.lang)}")
    if options.open:
        print(f"shown: {show(graph, title=title, lang=options.lang)}")


def _print(data: dict[str, Any]) -> None:
    """The table of both passes."""
    table = Table(title=data["title"], title_justify="left")
    for heading in ("", "formula", "value", "gradient"):
        table.add_column(heading, justify="right" if heading in ("value", "gradient") else "left")
    for node in data["nodes"]:
        if node["kind"] == "constant":
            continue
        cells = [node["name"] or node["symbol"], node.get("formula", ""), _cell(node, "value"), _cell(node, "grad")]
        table.add_row(*map(escape, cells))
    console = Console(highlight=False)
    console.print(table)
    if data["output"] < 0:
        console.print("No gradients: they are those of a single number. sum(…) of the formula is one.")


def _cell(node: dict[str, Any], what: str) -> str:
    found = node.get(what)
    return "" if found is None else str(found.get("all", found["text"]))


def _explain(options: argparse.Namespace) -> None:
    formula, values = _recorded(options)
    flat_names = {f"v[{name!r}]": name for name in values}
    wrt = options.wrt or formula.names[0]
    name, bracket, rest = wrt.partition("[")
    if name not in values:
        raise unknown_name("variable", name, values, "--wrt")
    explanation = explain(lambda v: formula(**v), (values,), f"v[{name!r}]{bracket}{rest}", paths=options.paths,
                          names=flat_names)
    if options.output is not None:
        print(f"written: {explanation.save(options.output)}")
    elif options.format == "text":
        Console(highlight=False, soft_wrap=True).print(explanation.text(), markup=False)
    else:
        print(getattr(explanation, options.format)())


def _version(options: argparse.Namespace) -> None:
    target, (folder, files, size) = host(), _kept()
    rows = {"chainrule": __version__, "Python": platform.python_version(), "NumPy": np.__version__,
            "llvmlite": llvmlite.__version__, "system": f"{platform.system()} {platform.machine()}",
            "processor": f"{target.cpu}, {os.cpu_count()} cores",
            "vectors": f"{8 * target.vector_bytes} bits: {target.vector_bytes // 4} float32 in each of "
                       f"{target.vector_registers} registers",
            "caches": f"{target.l1_bytes >> 10} KiB and {target.l2_bytes >> 10} KiB a core",
            "compiled": f"{files} programs, {size / 2**20:.1f} MiB in {folder}"}
    wide = max(map(len, rows))
    for name, text in rows.items():
        print(f"{name:<{wide}}  {text}")


def _kept() -> tuple[Path, int, int]:
    folder = cache.folder()
    files = [f for f in folder.iterdir() if f.is_file()] if folder.is_dir() else []
    return folder, len(files), sum(f.stat().st_size for f in files)


def _cache(options: argparse.Namespace) -> None:
    folder, files, size = _kept()
    if options.what == "clear":
        print(f"{cache.clear()} programs deleted from {folder}")
    else:
        print(f"{files} programs, {size / 2**20:.1f} MiB in {folder}")


if __name__ == "__main__":
    sys.exit(main())
