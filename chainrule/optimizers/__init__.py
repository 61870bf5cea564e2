"""Optimizers: rules that use gradients to change parameters. One rule per file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chainrule import configuration
from chainrule.configuration import serialize
from chainrule.errors import ArgumentError, unknown_name
from chainrule.optimizers import schedules
from chainrule.optimizers.adadelta import Adadelta
from chainrule.optimizers.adafactor import Adafactor
from chainrule.optimizers.adagrad import Adagrad
from chainrule.optimizers.adam import Adam, AdamW
from chainrule.optimizers.adamax import Adamax
from chainrule.optimizers.base import Optimizer
from chainrule.optimizers.evolution import EvolutionStrategy, Genetic, RandomSearch
from chainrule.optimizers.ftrl import Ftrl
from chainrule.optimizers.lamb import Lamb
from chainrule.optimizers.lbfgs import LBFGS
from chainrule.optimizers.lion import Lion
from chainrule.optimizers.loss_scale import LossScaleOptimizer
from chainrule.optimizers.multi import MultiOptimizer, OptimizerMap
from chainrule.optimizers.muon import Muon
from chainrule.optimizers.nadam import Nadam
from chainrule.optimizers.rmsprop import RMSprop
from chainrule.optimizers.sgd import SGD, Momentum

_CLASSES: dict[str, Callable[[], Optimizer]] = {c.__name__.lower(): c for c in (
    SGD, Momentum, RMSprop, Adagrad, Adadelta, Adam, AdamW, Adamax, Nadam, Lion, Adafactor, Lamb, Muon, Ftrl, LBFGS,
    Genetic, EvolutionStrategy, RandomSearch)}


def deserialize(config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The optimizer that ``serialize`` wrote down.

    Args:
        config: what it gave.
        custom_objects: classes and functions of the program by their names.
    """
    return configuration.deserialize(config, custom_objects, "optimizer")


def get(identifier: str | Optimizer) -> Optimizer:
    """The optimizer of a name, with its defaults, or the optimizer itself.

    Example:
        >>> get("adam")
        Adam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07, amsgrad=False)
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        if identifier.lower() in _CLASSES:
            return _CLASSES[identifier.lower()]()
        raise unknown_name("optimizer", identifier, _CLASSES)
    if isinstance(identifier, type) and issubclass(identifier, Optimizer):
        raise ArgumentError.of(f"got optimizer={identifier.__name__}, a class", "an optimizer made from it",
                               f"optimizer={identifier.__name__}(learning_rate=0.01)")
    raise ArgumentError.of(f"got optimizer={identifier!r}", "a name or an Optimizer", "optimizer='adam'")


__all__ = ["LBFGS", "SGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "EvolutionStrategy", "Ftrl",
           "Genetic", "Lamb", "Lion", "LossScaleOptimizer", "Momentum", "MultiOptimizer", "Muon", "Nadam", "Optimizer",
           "OptimizerMap", "RMSprop", "RandomSearch", "deserialize", "get", "schedules", "serialize"]
