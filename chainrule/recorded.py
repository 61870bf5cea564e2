"""The step that is being recorded, for what a ``train_step`` calls: optimizers and metrics.

While a model records a ``train_step`` of one's own, optimizers and metrics have no state of their own: the program that
is recorded carries it. They ask here whether that is so.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, Protocol

from chainrule.errors import UsageError


class Step(Protocol):
    """What records a step; ``training/steps.py`` has it."""

    def apply(self, optimizer: Any, gradients: Sequence[Any], weights: Sequence[Any]) -> None:
        """Make a step of an optimizer."""

    def scale(self, optimizer: Any) -> Any:
        """What an optimizer wants the loss to be multiplied by; None for nothing."""

    def gradients(self, loss: Any, by: Any) -> Any:
        """The derivatives of a recorded loss by weights or by recorded arrays."""

    def add(self, metric: Any, sums: dict[str, Any], samples: int) -> None:
        """Add to the sums of a metric."""

    def reset(self, metric: Any) -> None:
        """Begin the sums of a metric anew."""

    def updated(self, metric: Any) -> bool:
        """Whether the step has updated a metric."""


STEP: ContextVar[Step | None] = ContextVar("step", default=None)  # None: no step is being recorded


class Reported:
    """The value of a metric while a step is recorded: known after the epoch, so a step returns it as it is.

    Attributes:
        metric: whose value it is.
    """

    def __init__(self, metric: Any) -> None:
        self.metric = metric

    def _unknown(self, *args: Any, **options: Any) -> Any:
        raise UsageError.of(f"a step computes with the result of the metric {self.metric.name!r}, which is known after "
                            "the epoch", "to return it as it is", "return {'loss': self.loss_tracker.result()}")

    __array__ = __array_ufunc__ = __array_function__ = __float__ = __bool__ = _unknown
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __neg__ = _unknown

    def __repr__(self) -> str:
        return f"Reported({self.metric.name!r})"


__all__ = ["STEP", "Reported", "Step"]
