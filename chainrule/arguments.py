"""Arguments checked: each function gives the value back as a plain number, or says what fits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError


def not_negative(name: str, value: Any) -> float:
    """``value`` as a number, finite and 0 or more."""
    number = _number(name, value)
    return _fitting(number >= 0 and math.isfinite(number), name, value, number, "a finite number, 0 or more", "0.01")


def positive(name: str, value: Any) -> float:
    """``value`` as a number, finite and above 0."""
    number = _number(name, value)
    return _fitting(number > 0 and math.isfinite(number), name, value, number, "a finite number above 0", "0.01")


def share(name: str, value: Any, one: bool = False) -> float:
    """``value`` as a number from 0 to 1; 1 itself only if ``one``."""
    number = _number(name, value)
    fits = "a number from 0 to 1" if one else "a number from 0 to below 1"
    return _fitting(0 <= number < 1 or (one and number == 1), name, value, number, fits, "0.5")


def whole(name: str, value: Any, least: int = 1) -> int:
    """``value`` as a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ArgumentError.of(f"got {name}={value!r}", f"a whole number, {least} or more", f"{name}={max(least, 32)}")
    return int(value)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool | str) or not (np.isscalar(value) or getattr(value, "shape", None) == ()):
        raise ArgumentError.of(f"got {name}={value!r}", "a number", f"{name}=0.01")
    return float(value)


def _fitting(fit: bool, name: str, value: Any, number: float, fits: str, corrected: str) -> float:
    if not fit:
        raise ArgumentError.of(f"got {name}={value!r}", fits, f"{name}={corrected}")
    return number
