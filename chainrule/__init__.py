"""Chainrule: neural networks trained at the speed of the machine, and backpropagation that you can look into.

The public names: differentiation (:func:`grad`, …), compilation (:func:`jit`), the textbook graph
(:func:`variables`), gradient descent on any function (:func:`minimize`); Keras-style models in
:mod:`chainrule.models`, :mod:`chainrule.layers`, :mod:`chainrule.optimizers`.
"""

from chainrule import (
    activations,
    initializers,
    layers,
    losses,
    metrics,
    models,
    numpy,
    optimizers,
    random,
)
from chainrule._version import __version__
from chainrule.autodiff import finite_difference, grad, jvp, stop_gradient, value_and_grad, vjp
from chainrule.check import check_grads
from chainrule.graph import Graph
from chainrule.minimize import minimize
from chainrule.models import Sequential
from chainrule.numpy import where
from chainrule.ops.control import scan
from chainrule.random import set_seed
from chainrule.runtime import jit
from chainrule.trace import trace
from chainrule.variables import variables

__all__ = [
    "Graph",
    "Sequential",
    "__version__",
    "activations",
    "check_grads",
    "finite_difference",
    "grad",
    "initializers",
    "jit",
    "jvp",
    "layers",
    "losses",
    "metrics",
    "minimize",
    "models",
    "numpy",
    "optimizers",
    "random",
    "scan",
    "set_seed",
    "stop_gradient",
    "trace",
    "value_and_grad",
    "variables",
    "vjp",
    "where",
]
