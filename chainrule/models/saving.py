"""Models from files."""

from __future__ import annotations

from typing import Any

from chainrule.lazy import lazy
from chainrule.tracebacks import public
from chainrule.training import checkpoint

keras_files = lazy("chainrule.training.keras_files")


@public
def load_model(filepath: Any, compile: bool = True) -> Any:
    """The model of a file that ``model.save`` wrote, or of a ``.keras`` file of Keras with layers that are known here.

    Nothing in a file is executed: layers are found by their names, among those of the package and those that the
    program itself registered (``chainrule.layers.register``).

    Args:
        filepath: ends in ``.safetensors``, or in ``.keras``.
        compile: whether the model is compiled as it was, with the optimizer's state; one of Keras comes without.

    Raises:
        FileError: if the file is not there, damaged, or holds no model.
        ArgumentError: for layers that are not known.

    Example:
        >>> model.save("model.safetensors")   # doctest: +SKIP
        >>> load_model("model.safetensors").predict(x)   # doctest: +SKIP
    """
    if keras_files.is_keras(filepath):
        return keras_files.load_model(filepath)
    return checkpoint.load_model(filepath, compile)
