"""Callbacks that write down what happens: tables for a spreadsheet, events for TensorBoard."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

from chainrule.arguments import whole
from chainrule.errors import ArgumentError
from chainrule.lazy import extra
from chainrule.training.callbacks import Callback, Logs
from chainrule.training.checkpoint import weight_names


class CSVLogger(Callback):
    """Writes a row per epoch to a CSV file; each is on the disk when the epoch has ended.

    Args:
        filename: the path.
        separator: between two columns.
        append: whether to go on with a file that is there.

    Example:
        >>> CSVLogger("training.csv").separator
        ','
    """

    saved = ("at", "keys")

    def __init__(self, filename: Any, separator: str = ",", append: bool = False) -> None:
        self.filename, self.separator, self.append = Path(filename), separator, append
        self.keys: list[str] | None = None
        self.at: int | None = None  # the end of the last row: a run that is resumed goes on from there

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """A new table, unless rows are to be appended."""
        self.keys = self.at = None
        if self.append and self.filename.is_file() and self.filename.stat().st_size:
            with open(self.filename, encoding="utf-8", newline="") as file:
                self.keys = next(csv.reader(file, delimiter=self.separator), ["epoch"])[1:]
            self.at = self.filename.stat().st_size

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write a row."""
        logs = logs or {}
        begins = self.keys is None
        if self.keys is None:  # also what comes later, of epochs that are followed by a validation
            history = getattr(self.model, "history", None)
            self.keys = sorted({*logs, *(history.history if history is not None else ())})
        keys = self.keys
        with open(self.filename, "w" if self.at is None else "r+", encoding="utf-8", newline="") as file:
            if self.at is not None:
                file.truncate(self.at)
                file.seek(self.at)
            rows = csv.writer(file, delimiter=self.separator)
            if begins:
                rows.writerow(["epoch", *keys])
            rows.writerow([epoch, *(logs.get(key, "NA") for key in keys)])
            file.flush()
            os.fsync(file.fileno())
            self.at = file.tell()


class TensorBoard(Callback):
    """Writes event files for TensorBoard: losses and metrics, histograms of weights and gradients.

    They lie in ``log_dir/train`` and ``log_dir/validation``, as with Keras. The writer is that of ``tensorboardX``, an
    extra: ``pip install 'chainrule[tensorboard]'``.

    Args:
        log_dir: a folder.
        histogram_freq: histograms of the weights after every so many epochs; 0 for none.
        write_gradients: whether to each of these comes one of the gradient of the loss, of the last batch's samples.
        update_freq: ``'epoch'``, or a number of steps: also loss and metrics of the epoch so far.

    Example:
        >>> TensorBoard("logs/first", histogram_freq=1, write_gradients=True).log_dir.name
        'first'
    """

    def __init__(self, log_dir: Any = "logs", histogram_freq: int = 0, *, write_gradients: bool = False,
                 update_freq: str | int = "epoch") -> None:
        if update_freq != "epoch" and isinstance(update_freq, str):
            raise ArgumentError.of(f"got update_freq={update_freq!r}", "'epoch' or a number of steps",
                                   "update_freq=100")
        self.log_dir, self.write_gradients = Path(log_dir), write_gradients
        self.histogram_freq = whole("histogram_freq", histogram_freq, least=0)
        self.batch_interval = None if isinstance(update_freq, str) else whole("update_freq", update_freq)
        self._writers: dict[str, Any] = {}

    def _writer(self, name: str) -> Any:
        if name not in self._writers:
            library = extra("tensorboardX", "tensorboard", "TensorBoard")
            self._writers[name] = library.SummaryWriter(str(self.log_dir / name))
        return self._writers[name]

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Open the file, so that a missing package is no surprise after the first epoch."""
        self._writer("train")

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Loss and metrics of the epoch so far."""
        step = int(self.model._running.state["step"])
        for name, value in (logs or {}).items():
            self._writer("train").add_scalar(f"batch_{name}", value, step)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Loss, metrics, and the learning rate; histograms where they are due."""
        for name, value in (logs or {}).items():
            of = "validation" if name.startswith("val_") else "train"
            self._writer(of).add_scalar(f"epoch_{name.removeprefix('val_')}", value, epoch)
        if self.model.optimizer is not None:
            self._writer("train").add_scalar("epoch_learning_rate", self.model.optimizer.learning_rate, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._histograms(epoch)
        for writer in self._writers.values():
            writer.flush()

    def _histograms(self, epoch: int) -> None:
        writer, names = self._writer("train"), dict(zip(self.model.weights, weight_names(self.model), strict=True))
        for weight, name in names.items():
            writer.add_histogram(name, weight.array, epoch)
        if self.write_gradients:
            for weight, array in zip(self.model.trainable_weights, self.model._running.gradients(), strict=True):
                writer.add_histogram(f"{names[weight]}/gradient", array, epoch)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()
        self._writers = {}
