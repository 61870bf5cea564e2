"""Callbacks: Python that runs between native calls; by default between epochs, each of which is one call."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from chainrule.arguments import whole
from chainrule.errors import ArgumentError, DataError

Logs = dict[str, float]
_HOOKS = tuple(f"on_{what}_{when}" for what in ("train", "epoch", "train_batch", "batch", "test", "test_batch",
                                                "predict", "predict_batch") for when in ("begin", "end"))


class Callback:
    """Base of callbacks: override what is of interest.

    ``self.model`` is the model that is trained; ``self.params`` holds ``epochs``, ``steps`` and ``verbose``. In
    ``on_epoch_end`` the logs hold the loss and the metrics, of the validation data under names with ``val_``.
    Setting ``self.model.stop_training = True`` ends the training after the step or epoch.

    Attributes:
        batch_interval: hooks of batches are called for every so-manieth batch. Without such hooks an epoch is one
            native call; with them the loop returns to Python that often, which costs about 10 µs each time.
        saved: names of the attributes that are part of a checkpoint: numbers, strings, lists of them, arrays.
    """

    model: Any = None
    params: dict[str, Any] = {}
    batch_interval: int | None = 1
    saved: tuple[str, ...] = ()
    runs_last = False  # for those that save what the others have made of an epoch

    def set_model(self, model: Any) -> None:
        """Called before training."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called before training."""
        self.params = params

    def get_state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the callback: the attributes that ``saved`` names."""
        return {name: getattr(self, name) for name in self.saved}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`get_state` gave; called after ``on_train_begin`` when training is resumed."""
        for name, value in state.items():
            setattr(self, name, value)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called after the last epoch, with its logs."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called before an epoch; the first is 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called after an epoch, with its loss and metrics."""

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of :meth:`on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of :meth:`on_train_batch_end`."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a batch; the first of an epoch is 0."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after a batch, with the loss and the metrics of the epoch so far."""
        self.on_batch_end(batch, logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Called before an evaluation or a validation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Called after it, with loss and metrics."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a batch of an evaluation or a validation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after a batch of an evaluation or a validation, with loss and metrics of the batches so far."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a batch of a prediction."""

    def on_predict_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called after a batch of a prediction, with its ``outputs``."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Called before a prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Called after it."""


class History(Callback):
    """What ``fit`` returns.

    Attributes:
        history: a list of numbers, one per epoch, for ``loss``, each metric, and each of them with ``val_``.
        epoch: the numbers of the epochs.
    """

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    @property
    def monitored(self) -> str:
        """What an epoch is judged by: ``'val_loss'`` where there was a validation, else ``'loss'``."""
        return "val_loss" if self.history.get("val_loss") else "loss"

    @property
    def best_epoch(self) -> int | None:
        """The number of the epoch with the smallest :attr:`monitored` loss; None without any."""
        i = self._best()
        return None if i is None else self.epoch[i]

    @property
    def gap(self) -> float | None:
        """How far the validation loss lies above the training loss in the last epoch: large where a model overfits.

        The training loss is the mean over the epoch, while the model still learned. None without validation.
        """
        losses = self.history.get("val_loss")
        return losses[-1] - self.history["loss"][-1] if losses else None

    def _best(self) -> int | None:
        values = [(value, i) for i, value in enumerate(self.history.get(self.monitored, [])) if not math.isnan(value)]
        return min(values)[1] if values else None

    def report(self) -> str:
        """A line on the best epoch and the gap, for the end of a training with validation; else nothing."""
        i, gap = self._best(), self.gap
        losses = self.history.get("val_loss")
        if i is None or gap is None or not losses or len(losses) != len(self.epoch):
            return ""
        last = "" if i == len(losses) - 1 else f" In epoch {self.epoch[-1] + 1}: {losses[-1]:.4f},"
        end = "." if last else ","
        return (f"Best val_loss: {losses[i]:.4f} in epoch {self.epoch[i] + 1}{end}{last} {abs(gap):.4f} "
                f"{'above' if gap >= 0 else 'below'} the training loss.")

    def __repr__(self) -> str:
        return f"History({len(self.epoch)} epochs of {', '.join(self.history) or 'nothing'})"


class LambdaCallback(Callback):
    """A callback from functions, each given under the name of its hook.

    Args:
        on_epoch_begin, on_epoch_end: of ``(epoch, logs)``.
        on_train_begin, on_train_end: of ``(logs)``.
        on_train_batch_begin, on_train_batch_end: of ``(batch, logs)``.
        batch_interval: see :class:`Callback`.
        hooks: more functions, such as ``on_test_end``; what is not named ``on_…`` becomes an attribute.

    Example:
        >>> seen = []
        >>> LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch)).on_epoch_end(0, {})
        >>> seen
        [0]
    """

    def __init__(self, on_epoch_begin: Callable[..., Any] | None = None, on_epoch_end: Callable[..., Any] | None = None,
                 on_train_begin: Callable[..., Any] | None = None, on_train_end: Callable[..., Any] | None = None,
                 on_train_batch_begin: Callable[..., Any] | None = None,
                 on_train_batch_end: Callable[..., Any] | None = None, *, batch_interval: int = 1,
                 **hooks: Callable[..., Any] | None) -> None:
        self.batch_interval = whole("batch_interval", batch_interval)
        given = {"on_epoch_begin": on_epoch_begin, "on_epoch_end": on_epoch_end, "on_train_begin": on_train_begin,
                 "on_train_end": on_train_end, "on_train_batch_begin": on_train_batch_begin,
                 "on_train_batch_end": on_train_batch_end, **hooks}
        for name, function in given.items():
            if name not in _HOOKS and name.startswith("on_"):
                raise ArgumentError.of(f"LambdaCallback got {name}", f"one of {', '.join(_HOOKS)}",
                                       "LambdaCallback(on_epoch_end=lambda epoch, logs: print(logs))")
            if function is not None:
                setattr(self, name, function)


class TerminateOnNaN(Callback):
    """Ends the training when the loss is not finite.

    Args:
        raise_error: whether the training ends with an error, without the end of other callbacks, which so keep what
            they need to go on later.
        batch_interval: look after every so-manieth batch; None for after each epoch, which costs nothing.

    Raises:
        DataError: with ``raise_error``.

    Example:
        >>> TerminateOnNaN().batch_interval is None
        True
    """

    def __init__(self, raise_error: bool = False, batch_interval: int | None = None) -> None:
        self.raise_error = bool(raise_error)
        self.batch_interval = None if batch_interval is None else whole("batch_interval", batch_interval)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Look at the loss."""
        self._look(f"batch {batch}", logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Look at the loss."""
        self._look(f"epoch {epoch + 1}", logs)

    def _look(self, where: str, logs: Logs | None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss) and self.raise_error:
            raise DataError.of(f"the loss is {loss} in {where}", "a smaller learning rate, or data scaled to about 1",
                               "model.compile(optimizer=Adam(1e-4), loss='mse')")
        if not math.isfinite(loss) and not self.model.stop_training:
            print(f"The loss is {loss} in {where}: training ends.")
            self.model.stop_training = True


class ProgbarLogger(Callback):
    """Progress as with ``verbose=1``, whatever ``verbose`` says."""


def checked(callbacks: Any) -> list[Any]:
    """The callbacks as a list; an error for what could not be called."""
    given = [] if callbacks is None else list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
    for callback in given:
        if isinstance(callback, type) or not any(hasattr(callback, hook) for hook in _HOOKS):
            raise ArgumentError.of(f"callbacks holds {callback!r}", "objects made from Callback",
                                   "callbacks=[LambdaCallback(on_epoch_end=print)]")
    return sorted(given, key=lambda c: bool(getattr(c, "runs_last", False)))


def overrides(callback: Any, *names: str) -> bool:
    """Whether a callback has a hook of its own under one of the names, beside those of a base called Callback."""
    return any(name in getattr(callback, "__dict__", {}) or _owner(type(callback), name) not in (None, "Callback")
               for name in names)


def _owner(kind: type, name: str) -> str | None:
    return next((c.__name__ for c in kind.__mro__ if name in vars(c)), None)


class Hooks:
    """The callbacks that want to be called for batches, and when.

    Args:
        callbacks: all of them.
        what: ``'train_batch'``, ``'test_batch'`` or ``'predict_batch'``.
        every: steps that count as one, ``steps_per_execution`` of the model.
    """

    def __init__(self, callbacks: Sequence[Any], what: str = "train_batch", every: int = 1) -> None:
        ways = [(f"on_{what}_{when}", *([f"on_batch_{when}"] if what == "train_batch" else []))
                for when in ("begin", "end")]
        wanted = [(c, every * int(getattr(c, "batch_interval", 1))) for c in callbacks
                  if getattr(c, "batch_interval", 1) is not None]
        self._calls = [[(getattr(c, names[0], None) or getattr(c, names[1]), interval) for c, interval in wanted
                        if overrides(c, *names)] for names in ways]
        self._every = every
        self._intervals = sorted({interval for calls in self._calls for _, interval in calls})

    def __bool__(self) -> bool:
        return bool(self._intervals)

    @property
    def begins(self) -> bool:
        """Whether somebody wants to be called before batches."""
        return bool(self._calls[0])

    def stop(self, step: int) -> int:
        """The number of steps after which the loop has to return, from ``step`` on."""
        return min([(step // every + 1) * every for every in self._intervals])

    def begin(self, step: int) -> None:
        """Call those who are to hear of the batch ``step`` before it."""
        for hook, every in self._calls[0]:
            if step % every == 0:
                hook(step, {})

    def end(self, step: int, logs: dict[str, Any], last: bool = False) -> None:
        """Call those who are to hear of it after it; after the last one also where it ends a shorter execution.

        Of such a one they hear the number that its last batch would have, as in Keras.
        """
        for hook, every in self._calls[1]:
            if (step + 1) % every == 0:
                hook(step, dict(logs))
            elif last and every == self._every:
                hook(step // every * every + every - 1, dict(logs))


def each(callbacks: Sequence[Any], hook: str, *args: Any) -> None:
    """Call a hook of all callbacks that have it; logs are shared, so that what one adds the next ones see."""
    for callback in callbacks:
        function = getattr(callback, hook, None)
        if function is not None:
            function(*args)
