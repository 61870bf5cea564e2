"""The vector mathematics: elementary functions of any number of lanes, made of plain arithmetic.

``MATH[name](e, x, ...)`` emits the function for float32 or float64 values. All of it is branch-free and the same
for every target and number of lanes, so results do not depend on how a loop was vectorised.
"""

from __future__ import annotations

from collections.abc import Callable

from chainrule.llvm.emitter import Val
from chainrule.llvm.math_erf import erf
from chainrule.llvm.math_exp import exp, expm1, sigmoid, softplus, tanh
from chainrule.llvm.math_log import log, log1p
from chainrule.llvm.math_trig import cos, sin

MATH: dict[str, Callable[..., Val]] = {
    "cos": cos,
    "erf": erf,
    "exp": exp,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "sigmoid": sigmoid,
    "sin": sin,
    "softplus": softplus,
    "tanh": tanh,
}
