"""The layers of a ``.keras`` file, as plain data, in the form that our own configurations have.

What a layer here does not know is left out where it says nothing (None, False, the defaults listed below), and refused
otherwise: a model that would compute something else is worse than none.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from chainrule.configuration import find
from chainrule.errors import FileError

# arguments that change nothing here
_IDLE = frozenset((
    "dtype", "quantization_config", "lora_rank", "lora_alpha", "autocast", "sparse", "ragged", "optional",
    "implementation", "unroll", "use_cudnn", "build_input_shape", "input_axes", "output_axes", "batch_input_shape",
    "shared_object_id", "flash_attention", "remat", "renorm_clipping", "renorm_momentum"))  # without renorm
_DEFAULTS: dict[str, Any] = {"data_format": "channels_last", "reset_after": True, "epsilon": 1e-7}


def translated(data: Any) -> Any:
    """A layer, model, initializer or the like of Keras, in our form.

    Raises:
        FileError: for what holds code, or what is not known here.
    """
    if isinstance(data, list):
        return [translated(each) for each in data]
    if not isinstance(data, dict) or "class_name" not in data:
        return data
    name, given = str(data["class_name"]), data.get("config") or {}
    if name in ("function", "__lambda__", "Lambda") or not isinstance(given, dict):
        raise FileError.of(f"the file holds code ({name}), which is never executed", "layers of known classes", "")
    if name == "Sequential":
        return _sequential(given)
    if name in ("Functional", "Model"):
        return _functional(given)
    if name == "DTypePolicy":
        return given.get("name")
    return {"class_name": name, "config": _arguments(name, given)}


def _arguments(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The arguments that our class of that name takes."""
    known = _parameters(find(name))
    found = {}
    for key, value in given.items():
        if key in known and key not in _IDLE:
            found[key] = translated(value)
        elif key not in _IDLE and value not in (None, False, [], {}) and _DEFAULTS.get(key) != value:
            if key in ("name", "trainable"):  # of an initializer or the like
                continue
            raise FileError.of(f"the layer {given.get('name', name)!r} ({name}) has {key}={value!r}, which is not "
                               "known here", f"arguments of {name}: {', '.join(known)}")
    return found


def _parameters(cls: type) -> list[str]:
    """The names of the arguments of a class, also of those that it hands on to its bases."""
    names: list[str] = []
    for kind in cls.__mro__:
        if "__init__" in vars(kind) and kind is not object:
            parameters = list(inspect.signature(vars(kind)["__init__"]).parameters.values())[1:]
            names += [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                break
    return list(dict.fromkeys(names))


def _sequential(given: dict[str, Any]) -> dict[str, Any]:
    layers = list(given["layers"])
    entry = translated(layers.pop(0)) if layers and layers[0]["class_name"] == "InputLayer" else None
    if entry is None and given.get("build_input_shape"):
        entry = {"class_name": "InputLayer", "config": {"batch_shape": given["build_input_shape"]}}
    return {"class_name": "Sequential", "config": {
        "name": given["name"], "trainable": given.get("trainable", True), "entry": entry, "layers": translated(layers)}}


def _functional(given: dict[str, Any]) -> dict[str, Any]:
    """A network: the nodes of its layers as steps, each after those it depends on."""
    numbers = {layer["name"]: i for i, layer in enumerate(given["layers"])}
    entrances = _listed(given["input_layers"])
    places: dict[tuple[str, int], int] = {(name, node): -1 for name, node, _ in entrances}
    waiting = [(layer["name"], k, node) for layer in given["layers"] for k, node in enumerate(layer["inbound_nodes"])]
    steps: list[dict[str, Any]] = []

    def reference(history: Any) -> dict[str, Any]:
        name, node, index = history
        k = places[name, node]
        return {"symbol": [k, [n for n, *_ in entrances].index(name) if k == -1 else index]}

    while waiting:
        later = []
        for name, node, made in waiting:
            if all((n, k) in places for n, k, _ in _histories(made)):
                options = {k: v for k, v in made["kwargs"].items() if v is not None}
                steps.append({"layer": numbers[name], "args": _replaced(made["args"], reference),
                              "options": _replaced(options, reference)})
                places[name, node] = len(steps) - 1
            else:
                later.append((name, node, made))
        if len(later) == len(waiting):
            raise FileError.of(f"the layers {sorted({n for n, *_ in later})} depend on each other in a circle",
                               "a file of Keras 3")
        waiting = later
    return {"class_name": "Model", "config": {
        "name": given["name"], "trainable": given.get("trainable", True), "layers": translated(given["layers"]),
        "entrances": [numbers[name] for name, *_ in entrances], "steps": steps,
        "inputs": _shaped(given["input_layers"], reference), "outputs": _shaped(given["output_layers"], reference)}}


def _is_reference(x: Any) -> bool:
    return isinstance(x, list) and len(x) == 3 and isinstance(x[0], str) and isinstance(x[1], int)


def _listed(tree: Any) -> list[Any]:
    """All references in a container."""
    if _is_reference(tree):
        return [tree]
    return [each for part in (tree.values() if isinstance(tree, dict) else tree) for each in _listed(part)]


def _shaped(tree: Any, reference: Callable[[Any], Any]) -> Any:
    if _is_reference(tree):
        return reference(tree)
    if isinstance(tree, dict):
        return {k: _shaped(v, reference) for k, v in tree.items()}
    return [_shaped(each, reference) for each in tree]


def _histories(tree: Any) -> list[Any]:
    """What the symbols in the arguments of a node come from."""
    if isinstance(tree, dict):
        if tree.get("class_name") == "__keras_tensor__":
            return [tree["config"]["keras_history"]]
        tree = list(tree.values())
    return [h for each in tree for h in _histories(each)] if isinstance(tree, list) else []


def _replaced(tree: Any, reference: Callable[[Any], Any]) -> Any:
    if isinstance(tree, dict):
        if tree.get("class_name") == "__keras_tensor__":
            return reference(tree["config"]["keras_history"])
        return {k: _replaced(v, reference) for k, v in tree.items()}
    return [_replaced(each, reference) for each in tree] if isinstance(tree, list) else tree
