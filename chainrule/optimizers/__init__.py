"""Optimizers: rules that use gradients to change parameters. One rule per file."""

from __future__ import annotations

from collections.abc import Callable

from chainrule.errors import ArgumentError, unknown_name
from chainrule.optimizers.adagrad import Adagrad
from chainrule.optimizers.adam import Adam, AdamW
from chainrule.optimizers.base import Optimizer
from chainrule.optimizers.rmsprop import RMSprop
from chainrule.optimizers.sgd import SGD

_CLASSES: dict[str, Callable[[], Optimizer]] = {c.__name__.lower(): c for c in (SGD, RMSprop, Adagrad, Adam, AdamW)}


def get(identifier: str | Optimizer) -> Optimizer:
    """The optimizer of a name, with its defaults, or the optimizer itself.

    Example:
        >>> get("adam")
        Adam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07, amsgrad=False)
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, str):
        if identifier.lower() in _CLASSES:
            return _CLASSES[identifier.lower()]()
        raise unknown_name("optimizer", identifier, _CLASSES)
    if isinstance(identifier, type) and issubclass(identifier, Optimizer):
        raise ArgumentError.of(f"got optimizer={identifier.__name__}, a class", "an optimizer made from it",
                               f"optimizer={identifier.__name__}(learning_rate=0.01)")
    raise ArgumentError.of(f"got optimizer={identifier!r}", "a name or an Optimizer", "optimizer='adam'")


__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "get"]
