"""Models from files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from chainrule.configuration import custom_object_scope, deserialize
from chainrule.errors import ArgumentError
from chainrule.lazy import lazy
from chainrule.tracebacks import public
from chainrule.training import checkpoint

keras_files = lazy("chainrule.training.keras_files")


@public
def load_model(filepath: Any, custom_objects: Mapping[str, Any] | None = None, compile: bool = True,
               safe_mode: bool = True) -> Any:
    """The model of a file that ``model.save`` wrote, or of a ``.keras`` file of Keras with layers that are known here.

    Nothing in a file is executed: layers, losses and functions are found by their names, among those of the package,
    those that the program itself registered (``chainrule.layers.register``), and ``custom_objects``.

    Args:
        filepath: ends in ``.safetensors``, or in ``.keras``.
        custom_objects: classes and functions of the program by the names that the file has for them.
        compile: whether the model is compiled as it was, with the optimizer's state; one of Keras comes without.
        safe_mode: True: there is no way to run code of a file.

    Raises:
        FileError: if the file is not there, damaged, or holds no model.
        ArgumentError: for layers that are not known, and for ``safe_mode=False``.

    Example:
        >>> model.save("model.safetensors")   # doctest: +SKIP
        >>> load_model("model.safetensors").predict(x)   # doctest: +SKIP
    """
    if not safe_mode:
        raise ArgumentError.of("got safe_mode=False", "files as data: code in them is never run",
                               "load_model(path, custom_objects={'mine': mine})")
    if keras_files.is_keras(filepath):
        with custom_object_scope(custom_objects):
            return keras_files.load_model(filepath)
    return checkpoint.load_model(filepath, custom_objects, compile)


@public
def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The model of what ``model.to_json()`` gave, with new weights.

    Args:
        json_string: the text.
        custom_objects: classes and functions of the program by the names that the text has for them.

    Raises:
        ArgumentError: for text that is no such model, and for classes that are not known.

    Example:
        >>> from chainrule.layers import Dense
        >>> from chainrule.models import Sequential
        >>> model_from_json(Sequential([Dense(2, input_dim=3)]).to_json())
        Sequential([Dense(2)])
    """
    try:
        data = json.loads(json_string)
    except ValueError as error:
        raise ArgumentError.of(f"the text is no JSON: {error}", "what model.to_json() gave", "") from None
    made = deserialize(data, custom_objects)
    if not hasattr(made, "compile"):
        raise ArgumentError.of(f"the text holds a {type(made).__name__} where a model should be",
                               "what model.to_json() gave", "")
    return made


__all__ = ["load_model", "model_from_json"]
