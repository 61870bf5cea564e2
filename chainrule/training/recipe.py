"""How a model was compiled, as plain data, and back.

Classes are found by their names; nothing that is read is executed.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from chainrule import losses, metrics, optimizers
from chainrule.errors import UsageError, unknown_name
from chainrule.layers import config
from chainrule.losses import Loss
from chainrule.metrics import Metric
from chainrule.optimizers import schedules
from chainrule.optimizers.base import Optimizer, Options

_KINDS = {"loss": losses, "metric": metrics, "optimizer": optimizers, "schedule": schedules}


def described(value: Any) -> Any:
    """An argument of ``compile`` as plain data.

    Raises:
        UsageError: for what cannot be found again by its name.

    Example:
        >>> described([losses.Huber(delta=2.0), "mse"])[0]["config"]["delta"]
        2.0
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [described(each) for each in value]
    if isinstance(value, dict):
        return {str(k): described(v) for k, v in value.items()}
    if isinstance(value, type) and issubclass(value, Loss | Metric):
        value = value()
    kind = _kind(value)
    if kind is not None and _found(kind, type(value).__name__) is type(value):
        return {"kind": kind, "class_name": type(value).__name__, "config": _arguments(value)}
    return {"kind": "layer", "data": config.serialize(value)}  # a function, or what the program registered


def made(data: Any) -> Any:
    """The inverse of :func:`described`.

    Example:
        >>> made({"kind": "loss", "class_name": "Huber", "config": {"delta": 2.0}})
        Huber(delta=2.0)
    """
    if isinstance(data, list):
        return [made(each) for each in data]
    if not isinstance(data, dict):
        return data
    if data.get("kind") == "layer":
        return config.deserialize(data["data"])
    if "kind" not in data:
        return {k: made(v) for k, v in data.items()}
    found = _found(data["kind"], data["class_name"])
    if found is None:
        raise unknown_name(str(data["kind"]), data["class_name"], [n for n in dir(_KINDS.get(data["kind"], losses))
                                                                   if n[:1].isupper()])
    return found(**{k: made(v) for k, v in data["config"].items()})


def _kind(value: Any) -> str | None:
    for kind, base in (("loss", Loss), ("metric", Metric), ("optimizer", Optimizer),
                       ("schedule", schedules.LearningRateSchedule)):
        if isinstance(value, base):
            return kind
    return None


def _found(kind: str, name: str) -> Any:
    """The class of that name among those of its kind."""
    module = _KINDS.get(kind)
    found = getattr(module, str(name), None)
    return found if isinstance(found, type) and issubclass(
        found, Loss | Metric | Optimizer | schedules.LearningRateSchedule) else None


def _arguments(value: Any) -> dict[str, Any]:
    """What the constructor of an object took, read from its attributes of the same names."""
    found: dict[str, Any] = {}
    for name, parameter in inspect.signature(type(value).__init__).parameters.items():
        if name == "self":
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            given = getattr(value, name, None)
            more = {n: getattr(value, n) for n in Options.__annotations__} if isinstance(value, Optimizer) else given
            found.update(more or {})
        elif name == "learning_rate" and isinstance(value, Optimizer):
            found[name] = value.learning_rate if value.schedule is None else value.schedule
        elif hasattr(value, name):
            found[name] = getattr(value, name)
        else:
            raise UsageError.of(f"{type(value).__name__} does not keep its argument {name!r}", "an attribute of that "
                                "name", f"self.{name} = {name}")
    return {name: described(each) for name, each in found.items()}
