"""Where we are not as ``array_api_strict`` is: each with its reason, and with a call that shows it.

A name stands for the whole function only where no narrower statement is possible; ``excused`` says which calls the
deviation covers, and all others must agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from namespaces import Call


@dataclass(frozen=True)
class Deviation:
    """``show`` is a call that differs; ``excused`` tells the calls that may."""

    name: str
    reason: str
    show: Call
    excused: Callable[[Call], bool]


def _first(call: Call) -> Any:
    return np.asarray(call.args[0])


def _infinite(call: Call) -> bool:
    return any(np.isinf(np.asarray(a)).any() for a in call.args)


_INF = np.asarray([np.inf])

DEVIATIONS = (
    Deviation("floor_divide", "an infinite operand gives the quotient that the standard asks for; the referee, NumPy's "
              "NaN or -1", Call("floor_divide", _INF, np.asarray([2.0])), _infinite),
    Deviation("expm1", "complex zeros and infinities as the standard asks; the referee, NumPy's -0 and NaN",
              Call("expm1", np.asarray([complex(-np.inf, np.inf)])),
              lambda c: _first(c).dtype.kind == "c" and not (np.isfinite(_first(c)) & (_first(c) != 0)).all()),
    Deviation("tanh", "complex infinities as the standard asks; the referee, NumPy's sign of zero",
              Call("tanh", np.asarray([complex(np.inf, 2)])),
              lambda c: _first(c).dtype.kind == "c" and _infinite(c)),
    Deviation("sign", "0 for every complex zero as the standard asks; infinities and the sign of a part that is 0, "
              "which it leaves open, are NumPy's", Call("sign", np.asarray([complex(1, np.inf)])),
              lambda c: _first(c).dtype.kind == "c" and not (
                  np.isfinite(_first(c)) & (_first(c).real != 0) & (_first(c).imag != 0)).all()),
    Deviation("can_cast", "NumPy's rule, by which a bool may become a number; the referee knows promotion only",
              Call("can_cast", np.dtype("bool"), np.dtype("int8")),
              lambda c: {np.dtype(a).kind for a in c.args} not in ({"i"}, {"u"}, {"f"}, {"c"}, {"b"})),
    Deviation("isin", "the referee takes no notice of invert=True",
              Call("isin", np.asarray([1]), np.asarray([1]), invert=True), lambda c: c.options["invert"]),
)


def excused(call: Call) -> bool:
    return any(d.name == call.name and d.excused(call) for d in DEVIATIONS)
