"""The table of a model's layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainrule.layers.base import Layer, Shape
from chainrule.lazy import lazy

console, tables = lazy("rich.console"), lazy("rich.table")


def table(title: str, layers: Sequence[Layer], shapes: Sequence[Shape | None], width: int | None = None,
          print_fn: Callable[[str], Any] | None = None) -> None:
    """Print name, kind, output shape and number of parameters of each layer, and the total.

    Args:
        title: stands above.
        layers: the rows.
        shapes: the output shape of each; None where it is not known yet.
        width: of the table in characters; by default that of the terminal.
        print_fn: gets the whole text in place of the standard output.
    """
    rows = tables.Table(title=title, title_justify="left")
    rows.add_column("Layer (type)")
    rows.add_column("Output shape")
    rows.add_column("Params", justify="right")
    for layer, shape in zip(layers, shapes, strict=True):
        shown = "?" if shape is None else "(" + ", ".join(str(n) for n in shape) + ")"
        count = f"{layer.count_params():,}" if layer.built else "?"
        rows.add_row(f"{layer.name} ({type(layer).__name__})", shown, count)
    total = sum(w.array.size for w in dict.fromkeys(w for layer in layers for w in layer.weights))
    screen = console.Console(width=width, highlight=False)
    with screen.capture() as capture:
        screen.print(rows)
    text = capture.get() + f"Parameters: {total:,} ({_bytes(4 * total)})"
    (print_fn or print)(text)


def _bytes(n: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.2f} {unit}"
        n /= 1024
    return f"{n:.2f} GiB"
