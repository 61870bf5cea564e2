"""Einstein's summation: any number of operands, contracted two at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, ShapeError
from chainrule.numpy.common import array, records, transposed
from chainrule.numpy.products import Labels, labelled, summed_alone
from chainrule.numpy.selection import diagonal
from chainrule.ops.declare import convert
from chainrule.trace import no_out


@records(np.einsum)
def einsum(*operands: Any, out: Any = None, dtype: Any = None, optimize: Any = True, **_: Any) -> Any:
    """Einstein's summation: ``np.einsum("bik,bkj->bij", a, b)``, computed in ``dtype`` if one is given."""
    no_out("np.einsum", out)
    arrays, labels, result = _parsed(operands)
    if dtype is not None:
        arrays = [convert(x, np.dtype(dtype)) for x in arrays]
    extent: dict[int, int] = {}
    for x, axes in zip(arrays, labels, strict=True):
        for label, n in zip(axes, x.shape, strict=True):
            if extent.get(label, 1) not in (1, n) and n != 1:
                raise ShapeError.of(f"np.einsum got extents {extent[label]} and {n} for one label", "equal extents", "")
            extent[label] = max(n, extent.get(label, 1)) if 0 not in (n, extent.get(label, 1)) else 0
    terms = [_single(x, axes, {*result, *(y for j, other in enumerate(labels) if j != i for y in other)}, extent)
             for i, (x, axes) in enumerate(zip(arrays, labels, strict=True))]
    while len(terms) > 1:
        i, j = _cheapest(terms, result, extent)
        (a, a_axes), (b, b_axes) = terms[i], terms[j]
        rest = [t for k, t in enumerate(terms) if k not in (i, j)]
        needed = {*result, *(label for _, axes in rest for label in axes)}
        left = tuple(x for x in dict.fromkeys((*a_axes, *b_axes)) if x in needed)
        left = result if not rest else left
        terms = [*rest, (labelled(a, b, a_axes, b_axes, left), left)]
    x, axes = terms[0]
    return transposed(x, [axes.index(label) for label in result])


def _cheapest(terms: list[tuple[Any, Labels]], result: Labels, extent: dict[int, int]) -> tuple[int, int]:
    """The pair whose product costs the fewest multiplications."""
    pairs = [(i, j) for j in range(len(terms)) for i in range(j)]
    return min(pairs, key=lambda p: math.prod(extent[label] for label in {*terms[p[0]][1], *terms[p[1]][1]}))


def _single(x: Any, axes: Labels, needed: set[int], extent: dict[int, int]) -> tuple[Any, Labels]:
    """One operand with its repeated labels made diagonals, and the labels that nothing else has summed away."""
    while len(set(axes)) < len(axes):
        label = next(y for y in axes if axes.count(y) > 1)
        i = axes.index(label)
        j = axes.index(label, i + 1)
        x, axes = diagonal(x, 0, i, j), (*(y for k, y in enumerate(axes) if k not in (i, j)), label)
    return summed_alone(x, axes, needed)


def _parsed(operands: tuple[Any, ...]) -> tuple[list[Any], list[Labels], Labels]:
    """Arrays, the labels of their axes as numbers, and the labels of the result."""
    if isinstance(operands[0], str):
        text = operands[0].replace(" ", "")
        arrays = [array(x) for x in operands[1:]]
        given, arrow, wanted = text.partition("->")
        terms: list[list[Any]] = [_tokens(t) for t in given.split(",")]
        result = _tokens(wanted) if arrow else None
    else:
        arrays = [array(x) for x in operands[:len(operands) // 2 * 2:2]]
        terms = [list(t) for t in operands[1::2]]
        result = list(operands[-1]) if len(operands) % 2 else None
    if len(terms) != len(arrays):
        raise ArgumentError.of(f"np.einsum got {len(arrays)} arrays for {len(terms)} terms", "one term for each array",
                               "")
    dots = [len(x.shape) - len(t) + 1 if Ellipsis in t else 0 for x, t in zip(arrays, terms, strict=True)]
    for x, t, d in zip(arrays, terms, dots, strict=True):
        if len(x.shape) != len(t) - (Ellipsis in t) + d or d < 0:
            raise ShapeError.of(f"np.einsum got an array of shape {x.shape} for {len(t)} labels",
                                "a label for each axis", "")
    names = sorted({y for t in terms for y in t if y is not Ellipsis})
    number = {name: i for i, name in enumerate(names)}
    if result is None:
        flat = [y for t in terms for y in t]
        result = ([Ellipsis] if any(dots) else []) + [y for y in names if flat.count(y) == 1]
    unknown = [y for y in result if y is not Ellipsis and y not in number]
    if unknown or len(set(result)) < len(result):
        raise ArgumentError.of(f"np.einsum cannot give the labels {result}", "labels of the operands, each once",
                               "ij,jk->ik")

    def numbered(t: list[Any], d: int) -> Labels:
        hidden = [len(names) + k for k in range(d, 0, -1)]  # counted from the last axis, as broadcasting does
        return tuple(n for y in t for n in (hidden if y is Ellipsis else [number[y]]))
    return arrays, [numbered(t, d) for t, d in zip(terms, dots, strict=True)], numbered(result, max(dots, default=0))


def _tokens(text: str) -> list[Any]:
    before, dots, after = text.partition("...")
    return [*before, *([Ellipsis] if dots else []), *after]


@records(np.linalg.multi_dot)
def multi_dot(arrays: Sequence[Any]) -> Any:
    """The product of several matrices, multiplied in the cheapest order."""
    factors = [array(a) for a in arrays]
    ranks = [len(a.shape) for a in factors]
    if len(factors) < 2 or ranks[0] not in (1, 2) or ranks[-1] not in (1, 2) or set(ranks[1:-1]) - {2}:
        raise ShapeError.of(f"a chain of arrays of shapes {[a.shape for a in factors]}",
                            "two or more matrices; the first and the last may be vectors",
                            "np.linalg.multi_dot([a, b])")
    for a, b in pairwise(factors):
        if a.shape[-1] != b.shape[0]:
            raise ShapeError.of(f"cannot multiply arrays of shapes {a.shape} and {b.shape}",
                                "the last axis of the first as long as the first of the second", "")
    return einsum(*_chain(factors))


def _chain(arrays: list[Any]) -> list[Any]:
    operands: list[Any] = []
    last = len(arrays) - 1
    for i, a in enumerate(arrays):
        operands += [a, [i, i + 1] if len(a.shape) == 2 else [1] if i == 0 else [i]]
    out = [0] if len(arrays[0].shape) == 2 else []
    return [*operands, out + ([last + 1] if len(arrays[-1].shape) == 2 else [])]
