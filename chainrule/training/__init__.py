"""Training: the data, the recorded epoch, the loop over epochs, callbacks, progress."""

from chainrule.training.callbacks import Callback, History, LambdaCallback

__all__ = ["Callback", "History", "LambdaCallback"]
