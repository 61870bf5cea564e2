"""Where the elements of a value lie: views of buffers, and views seen through view operations."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

from chainrule.compiler.loops import Access, Affine, Axis, Buffer
from chainrule.dtypes import FLOAT32, is_half
from chainrule.graph import Node


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a dense array, in elements."""
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))


def is_dense(shape: Sequence[int], strides: Sequence[int]) -> bool:
    return all(n <= 1 or s == d for n, s, d in zip(shape, strides, row_major(shape), strict=True))


@dataclass(frozen=True, eq=False)
class View:
    """An array inside a buffer: element i lies at ``base + Σ strides·i``."""

    buffer: Buffer
    base: Affine
    strides: tuple[int, ...]

    def access(self, index: Sequence[Affine]) -> Access:
        at = self.base
        for i, stride in zip(index, self.strides, strict=True):
            at = at.plus(i.affine(stride, 0))
        return Access(self.buffer, at)


def dense(buffer: Buffer, shape: Sequence[int], base: Affine | None = None) -> View:
    return View(buffer, base or Affine(), row_major(shape))


@dataclass(frozen=True)
class Layout:
    """A node's elements as a strided view of another node, ``base``, that lies in memory."""

    base: Node
    offset: int
    strides: tuple[int, ...]


def reads_through(node: Node) -> bool:
    """Whether a use of ``node`` is just a use of its input at another index."""
    return node.op.kind == "view" or (node.op.kind == "reshape" and not regroups(node))


def regroups(node: Node) -> bool:
    """Whether a reshape does more than add and drop axes of extent 1."""
    return [n for n in node.shape if n != 1] != [n for n in node.inputs[0].shape if n != 1]


def is_widening(node: Node) -> bool:
    """Whether it makes half numbers float32, which is exact."""
    return node.op.name == "cast" and node.dtype == FLOAT32 and is_half(node.inputs[0].dtype)


def as_stored(operand: Node) -> Node:
    """What of a contraction's operand lies in memory: half numbers become float32 as it reads them."""
    return operand.inputs[0] if is_widening(operand) else operand


def input_index(node: Node, index: Sequence[Affine]) -> list[Affine]:
    """The index of a view's input element for the index of its own element."""
    mapped = node.op.view(list(index), node.inputs[0].shape, **node.params)
    return [Affine() if i is None else i for i in mapped]


def layout(node: Node, stored: Container[Node], strides: Callable[[Node], tuple[int, ...]]) -> Layout | None:
    """``node`` as a strided view of a ``stored`` one, which has the given strides. None if a reshape is in the way."""
    if node in stored or node.op.kind not in ("view", "reshape"):
        return Layout(node, 0, strides(node))
    below = layout(node.inputs[0], stored, strides)
    if below is None:
        return None
    if node.op.kind == "reshape" and regroups(node):
        if not is_dense(node.inputs[0].shape, below.strides):
            return None
        return Layout(below.base, below.offset, row_major(node.shape))
    axes = [Axis(str(i), n) for i, n in enumerate(node.shape)]
    at = Affine()
    mapped = input_index(node, [Affine(0, ((a, 1),)) for a in axes])
    for i, stride in zip(mapped, below.strides, strict=True):
        at = at.plus(i.affine(stride, 0))
    return Layout(below.base, below.offset + at.offset, tuple(at.stride(a) for a in axes))
