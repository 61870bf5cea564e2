"""Chainrule: neural networks trained at the speed of the machine, and backpropagation that you can look into.

The public names: differentiation (:func:`grad`, …), compilation (:func:`jit`), the textbook graph
(:func:`variables`), gradient descent on any function (:func:`minimize`); Keras-style models in
:mod:`chainrule.models`, :mod:`chainrule.layers`, :mod:`chainrule.optimizers`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from chainrule import numpy, random
from chainrule._version import __version__
from chainrule.addresses import aligned
from chainrule.autodiff import (
    checkpoint,
    custom_jvp,
    custom_vjp,
    finite_difference,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    linearize,
    stop_gradient,
    value_and_grad,
    vjp,
    vmap,
)
from chainrule.check import check_grads
from chainrule.control import associative_scan, cond, fori_loop, map, scan, switch, while_loop
from chainrule.graph import INSPECT, Graph
from chainrule.lazy import lazy
from chainrule.nans import debug_nans
from chainrule.numpy import at, where
from chainrule.random import set_seed
from chainrule.runtime import jit
from chainrule.threads import get_threads, set_threads
from chainrule.trace import trace
from chainrule.tracebacks import set_tracebacks
from chainrule.variables import variables

if TYPE_CHECKING:
    from chainrule import (
        activations,
        callbacks,
        constraints,
        initializers,
        layers,
        losses,
        metrics,
        mixed_precision,
        models,
        nn,
        optimizers,
        plot,
        regularizers,
        utils,
    )
    from chainrule.descent import minimize
    from chainrule.inspect import explain
    from chainrule.models import Model, Sequential
inspect = lazy("chainrule.inspect")  # what not every program needs is loaded when it is first used, as are those below
INSPECT[:] = [inspect]
_MODULES = frozenset(("activations", "callbacks", "constraints", "initializers", "layers", "losses", "metrics",
                      "mixed_precision", "models", "nn", "optimizers", "plot", "regularizers", "utils"))
_NAMES = {"Model": "models", "Sequential": "models", "explain": "inspect", "minimize": "descent"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"chainrule.{name}")  # or an error, each time, that says what is not installed
    if name in _NAMES:
        return getattr(import_module(f"chainrule.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'chainrule' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_MODULES, *_NAMES]


__all__ = [
    "Graph",
    "Model",
    "Sequential",
    "__version__",
    "activations",
    "aligned",
    "associative_scan",
    "at",
    "callbacks",
    "check_grads",
    "checkpoint",
    "cond",
    "constraints",
    "custom_jvp",
    "custom_vjp",
    "debug_nans",
    "explain",
    "finite_difference",
    "fori_loop",
    "get_threads",
    "grad",
    "hessian",
    "hvp",
    "initializers",
    "inspect",
    "jacobian",
    "jit",
    "jvp",
    "layers",
    "linearize",
    "losses",
    "map",
    "metrics",
    "minimize",
    "mixed_precision",
    "models",
    "nn",
    "numpy",
    "optimizers",
    "plot",
    "random",
    "regularizers",
    "scan",
    "set_seed",
    "set_threads",
    "set_tracebacks",
    "stop_gradient",
    "switch",
    "trace",
    "utils",
    "value_and_grad",
    "variables",
    "vjp",
    "vmap",
    "where",
    "while_loop",
]
