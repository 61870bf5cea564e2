"""The table of docs/kinks.md, read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

DOCUMENT = Path(__file__).parent.parent / "docs" / "kinks.md"
NUMBERS = {"inf": np.inf, "nan": np.nan}


@dataclass(frozen=True)
class Kink:
    """A line of the table. A number that is not stated is None."""

    code: str
    at: np.ndarray
    derivative: np.ndarray
    second: np.ndarray | None
    torch: np.ndarray | None
    jax: np.ndarray | None

    def function(self, namespace: Any) -> Callable[[Any], Any]:
        """The code with ``np`` and ``nn`` of a framework."""
        return lambda x: eval(self.code, {"np": namespace, "nn": namespace, "x": x, "inf": np.inf})


def _number(cell: str) -> np.ndarray | None:
    return None if cell == "–" else np.array(eval(cell, NUMBERS), float)


def kinks() -> list[Kink]:
    table = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]
    return [Kink(code.strip("`"), *map(_number, numbers)) for code, *numbers, _why in cells]


KINKS = kinks()
NAMES = [f"{k.code} at {k.at}" for k in KINKS]


def assert_stated(actual: Any, stated: np.ndarray) -> None:
    """Equal to what the document says, in six digits; NaN and infinities exactly."""
    np.testing.assert_allclose(np.asarray(actual), stated, rtol=1e-6, atol=0)
