"""Layers that compute in half numbers and keep float32 weights, under the names of ``keras.mixed_precision``."""

from __future__ import annotations

from chainrule.layers.precision import dtype_policy, set_dtype_policy
from chainrule.optimizers import LossScaleOptimizer

global_policy, set_global_policy = dtype_policy, set_dtype_policy

__all__ = ["LossScaleOptimizer", "dtype_policy", "global_policy", "set_dtype_policy", "set_global_policy"]
