"""Callbacks: Python that runs between epochs. An epoch itself is one native call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from chainrule.errors import ArgumentError, UsageError

Logs = dict[str, float]
_PER_BATCH = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")


class Callback:
    """Base of callbacks: override what is of interest.

    ``self.model`` is the model that is trained; ``self.params`` holds ``epochs``, ``steps`` and ``verbose``. In
    ``on_epoch_end`` the logs hold the loss and the metrics, of the validation data under names with ``val_``.
    Setting ``self.model.stop_training = True`` ends the training after the epoch.

    There are no calls per batch: no Python runs between two steps.
    """

    model: Any = None
    params: dict[str, Any] = {}

    def set_model(self, model: Any) -> None:
        """Called before training."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called before training."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called after the last epoch, with its logs."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called before an epoch; the first is 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called after an epoch, with its loss and metrics."""


class History(Callback):
    """What ``fit`` returns.

    Attributes:
        history: a list of numbers, one per epoch, for ``loss``, each metric, and each of them with ``val_``.
        epoch: the numbers of the epochs.
    """

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    def __repr__(self) -> str:
        return f"History({len(self.epoch)} epochs of {', '.join(self.history) or 'nothing'})"


class LambdaCallback(Callback):
    """A callback from functions.

    Example:
        >>> seen = []
        >>> LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch)).on_epoch_end(0, {})
        >>> seen
        [0]
    """

    def __init__(self, on_epoch_begin: Callable[..., Any] | None = None, on_epoch_end: Callable[..., Any] | None = None,
                 on_train_begin: Callable[..., Any] | None = None,
                 on_train_end: Callable[..., Any] | None = None) -> None:
        given = {"on_epoch_begin": on_epoch_begin, "on_epoch_end": on_epoch_end, "on_train_begin": on_train_begin,
                 "on_train_end": on_train_end}
        for name, function in given.items():
            if function is not None:
                setattr(self, name, function)


def checked(callbacks: Any) -> list[Any]:
    """The callbacks as a list; an error for what could not be called."""
    given = [] if callbacks is None else list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
    for callback in given:
        if not hasattr(callback, "on_epoch_end"):
            raise ArgumentError.of(f"callbacks holds {callback!r}", "objects made from Callback",
                                   "callbacks=[LambdaCallback(on_epoch_end=print)]")
        wanted = [name for name in _PER_BATCH if hasattr(callback, name)]
        if wanted:
            raise UsageError.of(
                f"{type(callback).__name__} has {wanted[0]}, which would never be called: an epoch is one native call",
                "the hooks of epochs and of the whole training", "def on_epoch_end(self, epoch, logs=None):")
    return given
