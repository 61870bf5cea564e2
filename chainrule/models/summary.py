"""The table of a model's layers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, ChainruleError
from chainrule.layers.base import FLOAT, Layer
from chainrule.layers.context import Call, calling
from chainrule.lazy import lazy
from chainrule.trace import record

console, tables = lazy("rich.console"), lazy("rich.table")


def table(model: Any, width: int | None = None, print_fn: Callable[[str], Any] | None = None, nested: bool = False,
          trainable: bool = False, between: Sequence[str] | None = None) -> None:
    """Print name, kind, output shape, parameters and operations for one sample of each layer, and the totals.

    Operations are additions and multiplications of the forward pass (``?`` where the layer has not seen its input yet);
    parameters of a layer that occurs twice count once.

    Args:
        model: whose layers are the rows.
        width: of the table in characters; by default that of the terminal.
        print_fn: gets the whole text in place of the standard output.
        nested: whether the layers of models inside have rows too.
        trainable: whether a column says which layers are trained.
        between: regular expressions for the names of the first and the last layer shown.
    """
    rows = tables.Table(title=f"Model: {model.name}", title_justify="left")
    rows.add_column("Layer (type)")
    rows.add_column("Output shape")
    for name in ("Params", "Flops"):
        rows.add_column(name, justify="right")
    if trainable:
        rows.add_column("Trained")
    total: int | None = 0
    chosen = _chosen(model.layers, between)

    def add(layer: Layer, depth: int) -> None:
        flops, known = operations(layer), layer.built or bool(layer.weights)
        rows.add_row("  " * depth + f"{layer.name} ({type(layer).__name__})", _shown(layer.output_shape),
                     f"{layer.count_params():,}" if known else "?", "?" if flops is None else f"{flops:,}",
                     *([_trained(layer)] if trainable else []))
        if nested and hasattr(layer, "layers"):
            for inner in layer.layers:
                add(inner, depth + 1)
    for layer in model.layers:
        flops = operations(layer)
        total = None if total is None or flops is None else total + flops
        if layer in chosen:
            add(layer, 0)
    screen = console.Console(width=width, highlight=False)
    with screen.capture() as capture:
        screen.print(rows)
    trained = sum(w.array.size for w in model.trainable_weights)
    size = sum(w.array.nbytes for w in model.weights)
    text = capture.get() + f"Parameters: {model.count_params():,} ({_bytes(size)})"
    if trained != model.count_params():
        text += f", of which {trained:,} are trained"
    if total:
        text += f"\nOperations for one sample: {total:,}"
    (print_fn or print)(text)


def _chosen(layers: Sequence[Layer], between: Sequence[str] | None) -> Sequence[Layer]:
    if between is None:
        return layers
    ends = []
    for pattern in between:
        found = [i for i, layer in enumerate(layers) if re.match(pattern, layer.name)]
        if not found:
            raise ArgumentError.of(f"layer_range has {pattern!r}, which fits no layer",
                                   f"one of {', '.join(repr(layer.name) for layer in layers)}", "")
        ends.append(found)
    return layers[min(ends[0]):max(ends[-1]) + 1]


def _trained(layer: Layer) -> str:
    return "yes" if layer.trainable_weights else "no" if layer.weights else "-"


def operations(layer: Layer) -> int | None:
    """The floating-point operations of a layer for one sample; None if its input is not known, or varies."""
    shapes = layer.argument_shapes
    if shapes is None and layer.input_shape is not None:  # of a model
        shapes = layer.input_shape,
    if not layer.built or shapes is None:
        return None

    def run(*args: Any) -> Any:
        with calling(Call(trial=True)):
            return layer(*args)
    samples = []
    for shape in shapes:
        if any(n is None for each in _shapes_in(shape) for n in each[1:]):
            return None
        samples.append(_sample(shape, layer.input_dtype or FLOAT))
    try:
        return record(run, tuple(samples))[0].cost().flops
    except (ChainruleError, TypeError):  # a layer that needs more than its positional arguments
        return None


def _sample(shape: Any, dtype: np.dtype) -> Any:
    if isinstance(shape, list):
        return [_sample(each, dtype) for each in shape]
    if isinstance(shape, dict):
        return {name: _sample(each, dtype) for name, each in shape.items()}
    return np.broadcast_to(np.zeros((), dtype), (1, *shape[1:]))


def _shapes_in(shape: Any) -> list[Any]:
    if isinstance(shape, list | dict):
        return [s for each in (shape.values() if isinstance(shape, dict) else shape) for s in _shapes_in(each)]
    return [shape]


def _shown(shape: Any) -> str:
    if shape is None:
        return "?"
    if isinstance(shape, list):
        return ", ".join(_shown(each) for each in shape)
    if isinstance(shape, dict):
        return ", ".join(f"{name} {_shown(each)}" for name, each in shape.items())
    return "(" + ", ".join(str(n) for n in shape) + ")"


def _bytes(n: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.2f} {unit}"
        n /= 1024
    return f"{n:.2f} GiB"


__all__ = ["operations", "table"]
