"""Callbacks that watch a number and act on it: stop, lower the learning rate, keep the best model."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.arguments import not_negative, share, whole
from chainrule.errors import ArgumentError, UsageError
from chainrule.training import tensors
from chainrule.training.callbacks import Callback, Logs

_UP = ("acc", "accuracy", "auc", "precision", "recall", "f1", "fbeta", "iou", "r2", "similarity", "sensitivity",
       "specificity", "hit")  # parts of the names of metrics that are better when larger


class Monitor(Callback):
    """What watches one number of the logs.

    Args:
        monitor: its name, such as ``'val_loss'``.
        mode: ``'min'`` or ``'max'`` for what is better; ``'auto'``: larger for accuracies and the like, else smaller.
        min_delta: a change up to this is none.
    """

    def __init__(self, monitor: str, mode: str = "auto", min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ArgumentError.of(f"got mode={mode!r}", "'auto', 'min' or 'max'", "mode='auto'")
        self.monitor, self.min_delta = monitor, abs(min_delta)
        words = monitor.lower().replace("top_k", "accuracy").split("_")
        self.up = mode == "max" or (mode == "auto" and any(part in words for part in _UP))
        self.best = self.worst

    @property
    def worst(self) -> float:
        """What everything is better than."""
        return -math.inf if self.up else math.inf

    def better(self, value: float, than: float) -> bool:
        """Whether ``value`` is better by more than ``min_delta``."""
        return value - self.min_delta > than if self.up else value + self.min_delta < than

    def value(self, logs: Logs | None) -> float | None:
        """The number; None in an epoch without validation.

        Raises:
            ArgumentError: if the logs never have it.
        """
        logs = logs or {}
        if self.monitor in logs:
            return logs[self.monitor]
        history = self.model.history.history if self.model is not None and self.model.history is not None else {}
        if self.monitor in history:
            return None
        fix = f"monitor={self.monitor.removeprefix('val_')!r}   # or validation_data=(x_val, y_val)"
        raise ArgumentError.of(f"{type(self).__name__} watches {self.monitor!r}, which there is not",
                               f"one of {', '.join(logs)}", fix if self.monitor.startswith("val_") else "")


class EarlyStopping(Monitor):
    """Ends the training when a number has not become better for ``patience`` epochs.

    Args:
        monitor: the number's name.
        min_delta: a change up to this does not count.
        patience: epochs to wait for a better one.
        verbose: 1 prints when it ends.
        mode: ``'min'``, ``'max'`` or ``'auto'``.
        baseline: what the number must be better than to start the waiting anew.
        restore_best_weights: whether the model is given the weights of the best epoch at the end.
        start_from_epoch: the epoch from which on the number is watched.

    Attributes:
        stopped_epoch: the number of the last epoch; 0 if it did not come to that.
        best_epoch: the number of the best epoch.

    Example:
        >>> EarlyStopping(monitor="val_accuracy", patience=3).up
        True

    Source: Prechelt, "Early stopping — but when?", 1998.
    """

    saved = ("wait", "stopped_epoch", "best", "best_epoch", "best_weights")

    def __init__(self, monitor: str = "val_loss", min_delta: float = 0, patience: int = 0, verbose: int = 0,
                 mode: str = "auto", baseline: float | None = None, restore_best_weights: bool = False,
                 start_from_epoch: int = 0) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience, self.verbose = whole("patience", patience, least=0), verbose
        self.baseline, self.restore_best_weights = baseline, restore_best_weights
        self.start_from_epoch = whole("start_from_epoch", start_from_epoch, least=0)
        self.on_train_begin()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Nothing has been seen yet."""
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = self.worst
        self.best_weights: list[np.ndarray] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Look at the number."""
        value = self.value(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights, self.best_epoch = self.model.get_weights(), epoch
        self.wait += 1
        if self.better(value, self.best):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self.better(value, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Give the model its best weights, if that is wanted."""
        if self.stopped_epoch > 0 and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping; best {self.monitor} {self.best:.4f} in epoch "
                  f"{self.best_epoch + 1}.")
        if self.restore_best_weights and self.best_weights is not None:
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(Monitor):
    """Multiplies the learning rate by ``factor`` when a number has not become better for ``patience`` epochs.

    Args:
        monitor: the number's name.
        factor: from 0 to below 1.
        patience: epochs to wait for a better one.
        verbose: 1 prints each change.
        mode: ``'min'``, ``'max'`` or ``'auto'``.
        min_delta: a change up to this does not count.
        cooldown: epochs after a change in which nothing is counted.
        min_lr: what the rate does not fall below.

    Example:
        >>> ReduceLROnPlateau(factor=0.5, patience=2).factor
        0.5
    """

    saved = ("best", "wait", "cooldown_counter")

    def __init__(self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10, verbose: int = 0,
                 mode: str = "auto", min_delta: float = 1e-4, cooldown: int = 0, min_lr: float = 0.0) -> None:
        super().__init__(monitor, mode, min_delta)
        self.factor, self.patience = share("factor", factor), whole("patience", patience, least=0)
        self.verbose = verbose
        self.cooldown, self.min_lr = whole("cooldown", cooldown, least=0), not_negative("min_lr", min_lr)
        self.on_train_begin()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Nothing has been seen yet."""
        without_schedule(self)
        self.best, self.wait, self.cooldown_counter = self.worst, 0, 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Look at the number; the logs get the ``learning_rate`` of this epoch."""
        logs = {} if logs is None else logs
        value, rate = self.value(logs), self.model.optimizer.learning_rate
        logs["learning_rate"] = rate
        if value is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self.better(value, self.best):
            self.best, self.wait = value, 0
            return
        if self.cooldown_counter > 0:
            return
        self.wait += 1
        if self.wait >= self.patience and np.float32(rate) > np.float32(self.min_lr):
            lower = max(rate * self.factor, self.min_lr)
            self.model.optimizer.learning_rate = lower
            self.cooldown_counter, self.wait = self.cooldown, 0
            if self.verbose:
                print(f"Epoch {epoch + 1}: learning rate lowered to {lower:.4g}.")


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch to what a function gives.

    Args:
        schedule: of ``(epoch, learning_rate)``, or of the epoch alone; the first epoch is 0.
        verbose: 1 prints each rate.

    Example:
        >>> LearningRateScheduler(lambda epoch, rate: rate * 0.9).verbose
        0
    """

    saved = ("last",)

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        if not callable(schedule):
            raise ArgumentError.of(f"got schedule={schedule!r}", "a function of (epoch, learning_rate)",
                                   "LearningRateScheduler(lambda epoch, rate: rate * 0.9)")
        self.schedule, self.verbose = schedule, verbose
        self._both = _takes_two(schedule)
        self.last = -1  # the epoch that the rate has been set for: one that is resumed has it already

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Nothing has been set yet."""
        without_schedule(self)
        self.last = -1

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Set the rate."""
        if epoch == self.last:
            return
        rate = self.schedule(epoch, self.model.optimizer.learning_rate) if self._both else self.schedule(epoch)
        if not isinstance(rate, int | float | np.number) or isinstance(rate, bool):
            raise ArgumentError.of(f"the schedule gave {rate!r} for epoch {epoch}", "a number", "return 0.01")
        self.model.optimizer.learning_rate = float(rate)
        self.last = epoch
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate {float(rate):.4g}.")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """The logs get the ``learning_rate`` of this epoch."""
        if logs is not None:
            logs["learning_rate"] = self.model.optimizer.learning_rate


def without_schedule(callback: Callback) -> None:
    """An error for an optimizer that sets its learning rate itself."""
    schedule = getattr(getattr(callback.model, "optimizer", None), "schedule", None)
    if schedule is not None:
        raise UsageError.of(f"{type(callback).__name__} and an optimizer with the schedule {schedule!r}", "one of them",
                            "model.compile(Adam(learning_rate=0.001), loss='mse')")


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        signature(function).bind(0, 0.1)
    except TypeError:
        return False
    except ValueError:  # of a function without a signature
        return True
    return True


class ModelCheckpoint(Monitor):
    """Saves the model, or its weights, as it is trained; each file is written whole or not at all.

    Args:
        filepath: ends in ``.safetensors``; may name the epoch and the logs, as in
            ``'{epoch:02d}-{val_loss:.2f}.safetensors'``.
        monitor: the number that says which model is best.
        verbose: 1 prints each save.
        save_best_only: whether only a model better than all before is saved.
        save_weights_only: whether the weights are saved without the layers and the optimizer's state.
        mode: ``'min'``, ``'max'`` or ``'auto'``.
        save_freq: ``'epoch'``, or a number of steps.
        initial_value_threshold: what the first model must be better than to be saved.

    Example:
        >>> ModelCheckpoint("best.safetensors", save_best_only=True).monitor
        'val_loss'
    """

    saved = ("best",)

    def __init__(self, filepath: Any, monitor: str = "val_loss", verbose: int = 0, save_best_only: bool = False,
                 save_weights_only: bool = False, mode: str = "auto", save_freq: str | int = "epoch",
                 initial_value_threshold: float | None = None) -> None:
        super().__init__(monitor, mode)
        if save_freq != "epoch" and isinstance(save_freq, str):
            raise ArgumentError.of(f"got save_freq={save_freq!r}", "'epoch' or a number of steps", "save_freq=1000")
        self.filepath = os.fspath(tensors.named(filepath, "filepath"))
        self.verbose, self.save_best_only, self.save_weights_only = verbose, save_best_only, save_weights_only
        self.batch_interval = None if isinstance(save_freq, str) else whole("save_freq", save_freq)
        if initial_value_threshold is not None:
            self.best = initial_value_threshold
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Note the epoch, for the name of the file."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Save, where that is wanted after steps."""
        self._save(self._epoch, dict(logs or {}, batch=batch + 1))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save, where that is wanted after epochs."""
        if self.batch_interval is None:
            self._save(epoch, logs or {})

    def _save(self, epoch: int, logs: Logs) -> None:
        if self.save_best_only:
            value = self.value(logs)
            if value is None or not self.better(value, self.best):
                return
            self.best = value
        try:
            path = Path(self.filepath.format(**{**logs, "epoch": epoch + 1}))
        except KeyError as error:
            raise ArgumentError.of(f"filepath={self.filepath!r} names {error.args[0]!r}",
                                   f"one of epoch, {', '.join(logs)}", "'{epoch:02d}.safetensors'") from None
        (self.model.save_weights if self.save_weights_only else self.model.save)(path)
        if self.verbose:
            print(f"Epoch {epoch + 1}: saved {path}.")


__all__ = ["EarlyStopping", "LearningRateScheduler", "ModelCheckpoint", "Monitor", "ReduceLROnPlateau"]
