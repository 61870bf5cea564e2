"""Models and weights that Keras has saved: ``.keras`` and ``.weights.h5`` files of Keras 3.

They come from others, so they are data: classes are found by name among those known here, nothing is executed or
unpickled, sizes are checked before anything is read, and links that lead out of the file are refused. Reading needs
h5py, an extra: ``pip install 'chainrule[keras]'``.
"""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import ChainruleError, FileError
from chainrule.layers import config
from chainrule.lazy import extra
from chainrule.training.keras_config import translated

_MOST_CONFIG = 64 << 20  # bytes
_MOST_WEIGHTS = 8 << 30
_DEEPEST = 50  # groups in groups
# the order of the weights where that of the names is another
_ORDER = {"bidirectional": ("forward_layer", "backward_layer"),
          "multi_head_attention": ("query_dense", "key_dense", "value_dense", "output_dense")}


def is_keras(filepath: Any) -> bool:
    """Whether the name is that of a file of Keras.

    >>> is_keras("model.keras"), is_keras("model.weights.h5"), is_keras("model.safetensors")
    (True, True, False)
    """
    return isinstance(filepath, str | os.PathLike) and os.fspath(filepath).endswith((".keras", ".h5"))


def load_model(filepath: Any) -> Any:
    """The model of a ``.keras`` file, not compiled; see :func:`chainrule.models.load_model`."""
    path = Path(filepath)
    if path.suffix != ".keras":
        raise FileError.of(f"{path} holds weights and no model", "a file that ends in .keras",
                           f"model.load_weights({str(path)!r})")
    try:
        data = json.loads(_member(path, "config.json", _MOST_CONFIG))
        model = config.deserialize(translated(data))
    except ChainruleError:
        raise
    except Exception as error:
        raise FileError.of(f"the layers in {path} cannot be read: {error}", "a file of Keras 3") from error
    if not hasattr(model, "layers"):
        raise FileError.of(f"{path} holds a {type(model).__name__} where a model should be", "a file of model.save()")
    load_weights(model, path)
    return model


def load_weights(model: Any, filepath: Any) -> None:
    """Give a model the weights of a file of Keras, all of them or none."""
    library = extra("h5py", "keras", "reading files of Keras")
    path = Path(filepath)
    if not path.is_file():
        raise FileError.of(f"{path} is no file", "the path of a file of Keras", "")
    source: Any = path
    if path.suffix == ".keras":
        source = io.BytesIO(_member(path, "model.weights.h5", _MOST_WEIGHTS))
    try:
        with library.File(source, "r") as file:
            pairs = list(_pairs(model, file, library, path))
            arrays = [np.asarray(dataset[...]) for _, dataset in pairs]
    except ChainruleError:
        raise
    except Exception as error:
        raise FileError.of(f"{path} is damaged, or no file of Keras: {error}",
                           "a .weights.h5 file of Keras 3") from error
    for (weight, _), array in zip(pairs, arrays, strict=True):
        weight.array[...] = array


def _member(path: Path, name: str, most: int) -> bytes:
    """One file of a ``.keras`` archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(name)
            if info.file_size > most:
                raise FileError.of(f"{name} in {path} claims {info.file_size:,} bytes", f"at most {most:,}", "")
            return archive.read(info)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        if isinstance(error, ChainruleError):
            raise
        raise FileError.of(f"{path} is damaged, or no .keras file: {error}", "a file of Keras 3") from error


# ---------------------------------------------------------------- which weight is which


def _pairs(model: Any, file: Any, library: Any, path: Path) -> Iterator[tuple[Any, Any]]:
    """The weights of the model with the data sets that hold their values; shapes are checked, values not yet read."""
    if "layers" not in file:
        raise FileError.of(f"{path} has no group 'layers'", "a .weights.h5 file of Keras 3",
                           "model.save_weights('model.weights.h5')   # in Keras 3, for a file of an older one")
    weights, found = model.weights, list(_datasets_of_layers(model, file["layers"], library, path, 0))
    if len(weights) != len(found):
        raise FileError.of(f"{path} holds {len(found)} arrays for a model with {len(weights)} weights",
                           "the weights of the same layers", "")
    for weight, dataset in zip(weights, found, strict=True):
        if tuple(dataset.shape) != weight.shape or dataset.dtype.kind not in "fiub":
            raise FileError.of(f"{path} holds an array of shape {tuple(dataset.shape)}, dtype {dataset.dtype}, where "
                               f"the weight {weight.name!r} has shape {weight.shape}",
                               "the weights of the same layers", "")
        yield weight, dataset


def _datasets_of_layers(model: Any, groups: Any, library: Any, path: Path, depth: int) -> Iterator[Any]:
    """The data sets of the layers of a model, in the order of its weights."""
    layers = [layer for layer in model.layers if layer.weights]
    names = _by_name(layers, groups, library, path) or _by_class(model.layers)
    for layer in layers:
        name = names[layer]
        if name not in groups:
            raise FileError.of(f"{path} has no group 'layers/{name}' for the layer {layer.name!r}",
                               f"the weights of the same layers; the file has {', '.join(groups)}", "")
        group = _inner(groups, name, library, path)
        if hasattr(layer, "layers") and "layers" in group:
            yield from _datasets_of_layers(layer, _inner(group, "layers", library, path), library, path, depth + 1)
        else:
            yield from _datasets(group, _ORDER.get(_snake(type(layer).__name__), ()), library, path, depth + 1)


def _by_name(layers: list[Any], groups: Any, library: Any, path: Path) -> dict[Any, str]:
    """The group of each layer by the names that Keras gave; nothing unless all are found."""
    known = {}
    for name in groups:
        group = _inner(groups, name, library, path)
        if "vars" in group:
            given = _inner(group, "vars", library, path).attrs.get("name")
            known[given.decode() if isinstance(given, bytes) else str(given)] = name
    return {layer: known[layer.name] for layer in layers} if all(layer.name in known for layer in layers) else {}


def _by_class(layers: list[Any]) -> dict[Any, str]:
    """The group of each layer by its class, counted in the order of the layers."""
    counts: Counter[str] = Counter()
    found = {}
    for layer in layers:
        base = {"model": "functional"}.get(_snake(type(layer).__name__), _snake(type(layer).__name__))
        found[layer] = f"{base}_{counts[base]}" if counts[base] else base
        counts[base] += 1
    return found


def _datasets(group: Any, order: tuple[str, ...], library: Any, path: Path, depth: int) -> Iterator[Any]:
    if depth > _DEEPEST:
        raise FileError.of(f"{path} has groups in groups, more than {_DEEPEST} deep", "a file of Keras")
    if "vars" in group:
        own = _inner(group, "vars", library, path)
        for name in sorted(own, key=int):
            dataset = _inner(own, name, library, path)
            if not isinstance(dataset, library.Dataset) or dataset.external or dataset.is_virtual:
                raise FileError.of(f"{path} keeps {dataset.name} outside of the file", "a file that holds its weights")
            yield dataset
    inside = [name for name in group if name != "vars"]
    for name in sorted(inside, key=lambda n: (order.index(n) if n in order else len(order), n)):
        inner = _inner(group, name, library, path)
        if isinstance(inner, library.Group):
            yield from _datasets(inner, _ORDER.get(re.sub(r"_\d+$", "", name), ()), library, path, depth + 1)


def _inner(group: Any, name: str, library: Any, path: Path) -> Any:
    """What a group holds under a name, if it really is in the group."""
    if not isinstance(group.get(name, getlink=True), library.HardLink):
        raise FileError.of(f"{path} links from {group.name}/{name} to elsewhere", "a file without such links")
    return group[name]


def _snake(name: str) -> str:
    """As Keras writes the name of a class: ``multi_head_attention``, ``conv2d_transpose``."""
    parted = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", parted).lower()
