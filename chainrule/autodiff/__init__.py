"""Derivatives: backpropagation and its relatives. Optimizers, which use gradients to train, live elsewhere."""

from chainrule.autodiff.custom import checkpoint, custom_jvp, custom_vjp
from chainrule.autodiff.derivatives import (
    grad,
    gradients,
    jvp,
    linearize,
    stop_gradient,
    value_and_grad,
    vjp,
)
from chainrule.autodiff.finite import finite_difference
from chainrule.autodiff.jacobians import hessian, hvp, jacobian
from chainrule.autodiff.vmap import vmap

__all__ = [
    "checkpoint", "custom_jvp", "custom_vjp", "finite_difference", "grad", "gradients", "hessian", "hvp", "jacobian",
    "jvp", "linearize", "stop_gradient", "value_and_grad", "vjp", "vmap",
]
