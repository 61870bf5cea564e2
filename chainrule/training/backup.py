"""Runs that go on where they stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chainrule.arguments import whole
from chainrule.errors import ArgumentError
from chainrule.training import checkpoint, tensors
from chainrule.training.callbacks import Callback, Logs


class BackupAndRestore(Callback):
    """Saves the run as it goes; the same ``fit`` called again, also in another process, goes on from there.

    Whatever stopped it (an error, Ctrl-C, a kill, a full disk), the weights, the history and the callbacks end up as
    those of a run that was never stopped, to the last bit, on the same machine with the same versions. On Ctrl-C the
    step that was reached is saved. The file is removed when the training has come to its end.

    Args:
        backup_dir: a folder, for a file ``backup.safetensors`` in it, or the path of a ``.safetensors`` file.
        save_freq: ``'epoch'``, or a number of steps: also within an epoch after every so many of its steps. The loop
            then returns to Python that often, and a save costs the time to write all weights and the optimizer's state.
        double_checkpoint: accepted, and without effect: a save leaves the file before it unharmed until it is whole.
        delete_checkpoint: whether the file is removed at the end.

    Example:
        >>> backup = BackupAndRestore("runs/first", save_freq=1000)
        >>> model.fit(x, y, epochs=50, callbacks=[backup])   # doctest: +SKIP
    """

    runs_last = True

    def __init__(self, backup_dir: Any, save_freq: str | int = "epoch", double_checkpoint: bool = False,
                 delete_checkpoint: bool = True) -> None:
        if save_freq != "epoch" and isinstance(save_freq, str):
            raise ArgumentError.of(f"got save_freq={save_freq!r}", "'epoch' or a number of steps", "save_freq=1000")
        self.batch_interval = None if isinstance(save_freq, str) else whole("save_freq", save_freq)
        given = Path(backup_dir)
        self.path = given if given.suffix == tensors.SUFFIX else given / f"backup{tensors.SUFFIX}"
        self.delete_checkpoint = delete_checkpoint

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Go on from the file, if there is one."""
        if self.path.is_file():
            checkpoint.put_training(self.model, *tensors.read(self.path), self.path)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Save."""
        self.save()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save."""
        self.save()

    def on_interrupt(self) -> None:
        """Save what was reached when Ctrl-C came."""
        self.save()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Remove the file."""
        if self.delete_checkpoint:
            self.path.unlink(missing_ok=True)

    def save(self) -> None:
        """Write the file."""
        tensors.write(self.path, *checkpoint.snapshot(self.model))
