"""Callbacks: Python that runs between epochs, or between batches if it asks for that."""

from __future__ import annotations

from chainrule.training.backup import BackupAndRestore
from chainrule.training.callbacks import Callback, History, LambdaCallback, ProgbarLogger, TerminateOnNaN
from chainrule.training.monitors import EarlyStopping, LearningRateScheduler, ModelCheckpoint, ReduceLROnPlateau
from chainrule.training.records import CSVLogger, TensorBoard

__all__ = ["BackupAndRestore", "CSVLogger", "Callback", "EarlyStopping", "History", "LambdaCallback",
           "LearningRateScheduler", "ModelCheckpoint", "ProgbarLogger", "ReduceLROnPlateau", "TensorBoard",
           "TerminateOnNaN"]
