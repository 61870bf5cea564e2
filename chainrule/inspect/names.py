"""What the nodes of a program are called: by its arguments, and by the statement that computed them.

``z2 = x @ w1 + b1`` in the user's source names the last node that this statement recorded ``z2``.
"""

from __future__ import annotations

import ast
import linecache
from collections import Counter
from collections.abc import Mapping
from functools import cache

from chainrule.graph import Graph, Node, Source
from chainrule.inspect.notation import Term, name
from chainrule.inspect.unfold import Flat
from chainrule.ops.declare import INPUT

_RECORDS = frozenset(("trace", "explain", "graph"))  # functions that return a whole program, or tell of it
_LOW = str.maketrans("0123456789()", "₀₁₂₃₄₅₆₇₈₉₍₎")


def found_names(flat: Flat, given: Mapping[str, str] | None = None) -> dict[Node, str]:
    """The nodes that have a name, each another one.

    Args:
        flat: the program.
        given: other names for some, by the name that they have otherwise.
    """
    names = {n: n.name for n in flat.nodes if n.name}
    for node, target in assigned(flat).items():
        names.setdefault(node, target)
    often, seen = Counter(names.values()), Counter[str]()
    unique: dict[Node, str] = {}
    for node in flat.nodes:
        if node in names:
            text = (given or {}).get(names[node], names[node])
            if often[names[node]] > 1:
                seen[text] += 1
                text += f"({seen[text]})".translate(_LOW)
                text = (given or {}).get(text, text)
            unique[node] = text
    return unique


def assigned(flat: Flat) -> dict[Node, str]:
    """The last node of each run of a statement ``name = …``, with that name.

    What a function of this package does inside, such as the steps of a loop, is no such run: of a statement only the
    outermost nodes count.
    """
    found: dict[Node, tuple[str, int]] = {}
    depth: dict[tuple[str, int], int] = {}
    for node in flat.nodes:
        source = node.source
        at = None if node.op is INPUT or source is None or source.of or not node.inputs else target(source)
        if at is not None and source is not None:
            found[node] = at
            key = source.file, at[1]
            depth[key] = min(depth.get(key, len(flat.path[node])), len(flat.path[node]))
    names: dict[Node, str] = {}
    running: tuple[object, ...] | None = None
    last: Node | None = None
    for node in flat.nodes:
        if node not in found:
            if node.inputs:
                running = None
            continue
        file, (name_, line), path = node.source.file, found[node], flat.path[node]  # type: ignore[union-attr]
        if len(path) > depth[file, line]:
            continue
        if (file, line, path) == running and last is not None:
            names.pop(last, None)
        names[node] = name_
        running, last = (file, line, path), node
    return names


def target(source: Source) -> tuple[str, int] | None:
    """The variable that the statement around a line is assigned to, and the statement's first line."""
    return _targets(source.file, "".join(linecache.getlines(source.file))).get(source.line)


@cache
def _targets(file: str, text: str) -> dict[int, tuple[str, int]]:
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError):
        return {}
    found = {}
    for statement in ast.walk(module):
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            to = statement.targets[0]
        elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
            to = statement.target
        else:
            continue
        if statement.value is None or any(map(_holds_a_program, ast.walk(statement.value))):
            continue
        if isinstance(to, ast.Name):
            for line in range(statement.lineno, (statement.end_lineno or statement.lineno) + 1):
                found[line] = (to.id, statement.lineno)
    return found


def _holds_a_program(part: ast.AST) -> bool:
    """Whether what is recorded in a line with this part is something else than what the line assigns."""
    if isinstance(part, ast.Call):
        called = part.func.attr if isinstance(part.func, ast.Attribute) else getattr(part.func, "id", "")
        return called in _RECORDS
    return isinstance(part, ast.Lambda)


def forget_line(graph: Graph, here: Source | None) -> None:
    """Take the line that asked for a graph from its nodes: what it assigns is no part of the program."""
    for node in graph.nodes:
        s = node.source
        if s is not None and here is not None and (s.file, s.line) == (here.file, here.line):
            node.source = s._replace(file="", line=0)
        for _, body in node.bodies:
            forget_line(body, here)


def terms_of(names: Mapping[Node, str]) -> dict[Node, Term]:
    """Names as terms."""
    return {node: name(text) for node, text in names.items()}


__all__ = ["assigned", "forget_line", "found_names", "target", "terms_of"]
