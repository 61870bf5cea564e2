"""NumPy functions without a rule of their own: left to NumPy where shapes are known, refused by name where not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.ops.host import on_host
from chainrule.trace import FUNCTIONS, refused

# The shape of the result follows from the shapes of the arguments: NumPy computes them when the graph is evaluated.
LEFT_TO_NUMPY = (
    "array_equiv bitwise_count frexp gcd histogram2d histogramdd i0 lcm nextafter packbits "
    "poly ravel_multi_index sort_complex spacing unpackbits").split()

# The shape or the dtype of the result depends on values: what to write instead.
DATA_DEPENDENT = {"roots": "np.linalg.eigvalsh(x)",
                  "real_if_close": "x.real"}


def _left(function: Callable[..., Any]) -> Callable[..., Any]:
    def rule(*args: Any, **options: Any) -> Any:
        return on_host(function, f"np.{function.__name__}", args, options)
    return rule


for _name in LEFT_TO_NUMPY:
    FUNCTIONS[getattr(np, _name)] = _left(getattr(np, _name))
for _name, _instead in DATA_DEPENDENT.items():
    FUNCTIONS[getattr(np, _name)] = refused(f"np.{_name}", "its result's shape or dtype depends on values", _instead)
