"""Runs the loop nests of ``compiler/loops.py`` with NumPy: the meaning that native code must have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.compiler.loops import (
    Access,
    Affine,
    Axis,
    Branch,
    Buffer,
    Clamp,
    Const,
    Contract,
    Custom,
    Load,
    Loop,
    Position,
    Program,
    Reduced,
    Statement,
    Whole,
)

_COMBINE = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def interpret(program: Program, arguments: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The outputs of a program, run statement by statement."""
    memory: dict[Buffer, np.ndarray] = {b: np.array(a, dtype=b.dtype).reshape(-1)
                                        for b, a in zip(program.inputs, arguments, strict=True)}
    memory.update({b: np.array(v).reshape(-1) for b, v in program.constants})
    with np.errstate(all="ignore"):
        for s in program.statements:
            _run(s, memory, {})
    return [_cells(memory, b) for b in program.outputs]


def _cells(memory: dict[Buffer, np.ndarray], b: Buffer) -> np.ndarray:
    b = b.home
    if b not in memory:
        memory[b] = np.zeros(b.size, b.dtype)
    return memory[b]


def _whole(whole: Whole, memory: dict[Buffer, np.ndarray], point: dict[Axis, Any]) -> np.ndarray:
    """The cells of a whole array, in one row."""
    start = int(_index(whole.access.at, memory, point, {}))
    return _cells(memory, whole.access.buffer)[start:start + int(np.prod(whole.shape))]


def _run(s: Statement, memory: dict[Buffer, np.ndarray], point: dict[Axis, Any]) -> None:
    if isinstance(s, Loop):
        for i in range(s.axis.extent):
            inside = {**point, s.axis: np.asarray(i)}
            if s.holds is not None and not _cells(memory, s.holds.buffer)[_index(s.holds.at, memory, inside, {})]:
                break
            for inner in s.body:
                _run(inner, memory, inside)
            if s.until is not None and _cells(memory, s.until.buffer)[_index(s.until.at, memory, inside, {})]:
                break
        return
    if isinstance(s, Branch):
        for inner in s.bodies[int(_load(s.index, memory, point, {}))]:
            _run(inner, memory, point)
        return
    if isinstance(s, Custom):
        out = s.op.evaluate(*(_whole(w, memory, point).reshape(w.shape) for w in s.inputs), **s.params)
        for whole, result in zip(s.outputs, out if isinstance(out, tuple) else (out,), strict=True):
            _whole(whole, memory, point)[:] = np.reshape(result, -1)
        return
    axes = s.axes + s.reduce_axes
    grid = np.ogrid[tuple(slice(0, a.extent) for a in axes)] if axes else []
    inside = {**point, **dict(zip(axes, grid, strict=True))}
    shape = tuple(a.extent for a in axes)
    cache: dict[int, Any] = {}
    reduced = tuple(range(len(s.axes), len(axes)))
    if isinstance(s, Contract):
        product = np.multiply(*(_load(x, memory, inside, cache).astype(s.dtype, copy=False) for x in (s.a, s.b)))
        cache[0] = np.sum(np.broadcast_to(product, shape), axis=reduced, dtype=s.dtype, keepdims=True)
    elif s.combine:
        body = np.broadcast_to(_value(s.body, memory, inside, cache), shape)
        cache[0] = _COMBINE[s.combine].reduce(body, axis=reduced, dtype=s.body.dtype, keepdims=True) if body.size or \
            s.combine in ("add", "mul") else body
    results = [
        (
            store,
            np.broadcast_to(_value(store.value, memory, inside, cache), shape[: len(s.axes)] + (1,) * len(reduced)),
            _index(store.access.at, memory, inside, cache),
        )
        for store in s.stores
    ]
    for store, value, index in results:
        cells = _cells(memory, store.access.buffer)
        index = np.broadcast_to(index, value.shape)
        if store.accumulate:
            np.add.at(cells, index, value)
        else:
            cells[index] = value


def _index(at: Affine, memory: Any, point: dict[Axis, Any], cache: dict[int, Any]) -> Any:
    total = np.asarray(at.offset)
    for axis, c in at.terms:
        total = total + c * point[axis]
    for c, e in at.dynamic:
        total = total + c * _value(e, memory, point, cache)
    return total


def _load(access: Access, memory: Any, point: dict[Axis, Any], cache: dict[int, Any]) -> Any:
    return _cells(memory, access.buffer)[_index(access.at, memory, point, cache)]


def _value(e: Any, memory: Any, point: dict[Axis, Any], cache: dict[int, Any]) -> Any:
    if isinstance(e, Reduced):
        return cache[0]
    if id(e) not in cache:
        if isinstance(e, Const):
            out = np.asarray(e.value, e.dtype)
        elif isinstance(e, Load):
            out = _load(e.access, memory, point, cache)
        elif isinstance(e, Position):
            out = np.asarray(_index(e.at, memory, point, cache)).astype(e.dtype)
        elif isinstance(e, Clamp):
            out = np.clip(np.asarray(_value(e.args[0], memory, point, cache)).astype(np.int64), 0, e.extent - 1)
        else:
            args = np.broadcast_arrays(*(_value(a, memory, point, cache) for a in e.args))
            out = e.op.evaluate(*args, **e.params)
        cache[id(e)] = out
    return cache[id(e)]
