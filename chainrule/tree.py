"""Nested parameters: flatten lists, tuples, dicts and named tuples to their leaves, and back."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from numpy import ndarray


@dataclass(frozen=True, eq=False, slots=True)
class Structure:
    """The shape of a nested container without its leaves. ``kind`` is None for a leaf.

    Equal structures are one object (:func:`_structure` makes them), so comparing and hashing them costs nothing.
    """

    kind: type | None
    keys: tuple[Any, ...]
    children: tuple[Structure, ...]
    leaves: int

    def __repr__(self) -> str:
        if self.kind is LEAF:
            return "*"
        if self.kind is type(None):
            return "None"
        inner = [repr(c) for c in self.children]
        if self.kind is dict:
            return "{" + ", ".join(f"{k!r}: {c}" for k, c in zip(self.keys, inner, strict=True)) + "}"
        opened, closed = ("[", "]") if self.kind is list else ("(", ")")
        return opened + ", ".join(inner) + closed


class LEAF:
    """Marks a leaf in a :class:`Structure`."""


_LEAF = Structure(LEAF, (), (), 1)
_NONE = Structure(type(None), (), (), 0)
_KNOWN: dict[Any, Structure] = {}
_SEQUENCES: dict[tuple[type, tuple[Structure, ...]], Structure] = {}  # of them lists and tuples, to be found sooner
_DICTS: dict[tuple[tuple[str, ...], tuple[Structure, ...]], Structure] = {}  # and dicts whose keys are strings


def _structure(kind: type, keys: tuple[Any, ...], children: tuple[Structure, ...]) -> Structure:
    key = kind, keys, tuple(map(type, keys)), children  # of the keys 1, 1.0 and True each means itself
    known = _KNOWN.get(key)
    if known is None:
        known = _KNOWN.setdefault(key, Structure(kind, keys, children, sum(c.leaves for c in children)))
    return known


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves of ``tree`` from left to right (dicts in sorted key order) and its structure.

    >>> flatten({"b": [1, 2], "a": 3})
    ([3, 1, 2], {'a': *, 'b': [*, *]})
    """
    leaves: list[Any] = []
    return leaves, _flatten(tree, leaves)


def _flatten(tree: Any, leaves: list[Any]) -> Structure:
    kind = type(tree)
    if kind is tuple or kind is list:  # what most are
        append = leaves.append  # a call for each array took a third of a small program's time
        children = tuple([append(t) or _LEAF if type(t) is ndarray else _flatten(t, leaves) for t in tree])
        known = _SEQUENCES.get((kind, children))
        if known is None:
            known = _SEQUENCES.setdefault((kind, children), _structure(kind, (), children))
        return known
    if kind is dict and all([type(k) is str for k in tree]):
        names = tuple(sorted(tree))
        children = tuple([_flatten(tree[k], leaves) for k in names])
        known = _DICTS.get((names, children))
        if known is None:
            known = _DICTS.setdefault((names, children), _structure(dict, names, children))
        return known
    if isinstance(tree, dict):
        keys = tuple(sorted(tree, key=lambda k: (type(k).__name__, k)))
        return _structure(dict, keys, tuple([_flatten(tree[k], leaves) for k in keys]))
    if isinstance(tree, (list, tuple)):  # noqa: UP038 (a union would be made anew at every node)
        return _structure(kind, (), tuple([_flatten(t, leaves) for t in tree]))
    if tree is None:
        return _NONE
    leaves.append(tree)
    return _LEAF


def unflatten(structure: Structure, leaves: Sequence[Any]) -> Any:
    """The inverse of :func:`flatten`."""
    return _unflatten(structure, iter(leaves))


def _unflatten(structure: Structure, leaves: Any) -> Any:
    kind = structure.kind
    if kind is LEAF:
        return next(leaves)
    if kind is None or kind is type(None):
        return None
    children = [_unflatten(c, leaves) for c in structure.children]
    if kind is dict:
        return dict(zip(structure.keys, children, strict=True))
    if hasattr(kind, "_fields"):
        return kind(*children)
    return kind(children)


def map_leaves(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Apply ``function`` to corresponding leaves of trees of one structure."""
    leaves, structure = flatten(tree)
    rest = [flatten(o)[0] for o in others]
    return unflatten(structure, [function(*args) for args in zip(leaves, *rest, strict=True)])


def paths(structure: Structure, root: str) -> list[str]:
    """How each leaf of a container called ``root`` is written, in the order of :func:`flatten`.

    >>> paths(flatten({"w": [1, 2], "b": 3})[1], "params")
    ["params['b']", "params['w'][0]", "params['w'][1]"]
    """
    return list(_paths(structure, root))


def _paths(structure: Structure, root: str) -> Iterator[str]:
    kind = structure.kind
    if kind is LEAF:
        yield root
    fields = getattr(kind, "_fields", None)
    for k, child in enumerate(structure.children):
        if fields is not None:
            yield from _paths(child, f"{root}.{fields[k]}")
        else:
            yield from _paths(child, f"{root}[{(structure.keys[k] if kind is dict else k)!r}]")


def argument_paths(function: Callable[..., Any], args: Sequence[Any]) -> list[str]:
    """How ``function`` itself would write each leaf of its positional arguments: by the names of its parameters.

    >>> argument_paths(lambda params, *rest: 0, [{"w": 1}, 2, 3])
    ["params['w']", 'rest[0]', 'rest[1]']
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some callables written in C have none
        parameters = []
    names: list[str] = []
    for k, arg in enumerate(args):
        parameter = parameters[min(k, len(parameters) - 1)] if parameters else None
        if parameter is not None and parameter.kind is parameter.VAR_POSITIONAL:
            name = f"{parameter.name}[{k - len(parameters) + 1}]"
        else:
            name = parameter.name if parameter is not None and k < len(parameters) else f"argument{k}"
        names += paths(flatten(arg)[1], name)
    return names
