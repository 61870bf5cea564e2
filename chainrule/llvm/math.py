"""The vector mathematics: elementary functions of any number of lanes, made of plain arithmetic.

``MATH[name](e, x, ...)`` emits the function for float32 or float64 values. All of it is branch-free, without tables
in memory, and the same for every target and number of lanes, so results do not depend on how a loop was vectorised.
Errors stay within 2 units in the last place (``tests/test_math.py``), special cases are NumPy's; of the arguments
only very large angles are out of range (``math_trig``).

Reductions are the published ones, named where they are used; all coefficients are our own minimax fits (Remez, with
the leading terms fixed, rounded to the working precision), given with the error that they reach.
"""

from __future__ import annotations

from collections.abc import Callable

from chainrule.llvm.emitter import Val
from chainrule.llvm.math_erf import erf, erfc
from chainrule.llvm.math_exp import cosh, exp, exp2, expm1, sigmoid, sinh, tanh
from chainrule.llvm.math_log import acosh, asinh, atanh, log, log1p, log2, log10, softplus
from chainrule.llvm.math_pow import cbrt, hypot, power
from chainrule.llvm.math_trig import acos, asin, atan, atan2, cos, sin, tan

MATH: dict[str, Callable[..., Val]] = {
    "acos": acos,
    "acosh": acosh,
    "asin": asin,
    "asinh": asinh,
    "atan": atan,
    "atan2": atan2,
    "atanh": atanh,
    "cbrt": cbrt,
    "cos": cos,
    "cosh": cosh,
    "erf": erf,
    "erfc": erfc,
    "exp": exp,
    "exp2": exp2,
    "expm1": expm1,
    "hypot": hypot,
    "log": log,
    "log10": log10,
    "log1p": log1p,
    "log2": log2,
    "pow": power,
    "sigmoid": sigmoid,
    "sin": sin,
    "sinh": sinh,
    "softplus": softplus,
    "tan": tan,
    "tanh": tanh,
}
