"""Arrays and plain facts in one ``.safetensors`` file, of which nothing is ever executed.

The package ``safetensors`` is an extra: ``pip install 'chainrule[io]'``. A file is written beside its place, brought to
the disk and renamed: whoever reads, and whatever happens meanwhile, finds the old file or the new one.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, FileError
from chainrule.lazy import extra

SUFFIX = ".safetensors"
_FACTS = "chainrule"

Arrays = dict[str, np.ndarray]


def named(path: Any, argument: str = "path") -> Path:
    """The path, checked to end in ``.safetensors``."""
    try:
        found = Path(path)
    except TypeError:
        raise ArgumentError.of(f"got {argument}={path!r}", "the path of a file",
                               f"{argument}='model{SUFFIX}'") from None
    if found.suffix != SUFFIX:
        raise ArgumentError.of(f"got {argument}={str(path)!r}", f"a name that ends in {SUFFIX}",
                               f"{argument}={str(found.with_suffix(SUFFIX))!r}")
    return found


def write(path: Path, arrays: Arrays, facts: dict[str, Any]) -> None:
    """Write a file whole or not at all.

    Raises:
        FileError: where it cannot be written; what stood there before still does.
        MissingExtra: without the package ``safetensors``.
    """
    library = extra("safetensors.numpy", "io", "saving a model")
    beside = path.with_name(f".{path.name}.writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        library.save_file({name: np.asarray(a, order="C") for name, a in arrays.items()}, beside,
                          {_FACTS: json.dumps(facts)})
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
        _sync_folder(path.parent)
    except Exception as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise FileError.of(f"{path} could not be written: {error}", "a folder one may write to, with enough room; "
                           "what stood there before is unharmed") from error


def read(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """The arrays and facts of a file; facts are empty if another program wrote it.

    Raises:
        FileError: if it is not there or damaged.
        MissingExtra: without the package ``safetensors``.
    """
    library = extra("safetensors", "io", "loading a model")
    if not path.is_file():
        raise FileError.of(f"{path} is no file", "the path of a file that save() wrote", "")
    try:
        with library.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
        facts = json.loads(metadata.get(_FACTS, "{}"))
    except Exception as error:
        raise FileError.of(f"{path} is damaged, or no {SUFFIX} file: {error}", "a file that save() wrote") from error
    if not isinstance(facts, dict):
        raise FileError.of(f"{path} holds {type(facts).__name__} where facts should be", "a file that save() wrote")
    return arrays, facts


def _sync_folder(folder: Path) -> None:
    """Bring a rename to the disk, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# ---------------------------------------------------------------- nested values


def taken_apart(value: Any, name: str, arrays: Arrays) -> Any:
    """``value`` as JSON has it; the arrays in it go to ``arrays``, under names that begin with ``name``."""
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {"$array": name}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(k): taken_apart(v, f"{name}/{k}", arrays) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [taken_apart(v, f"{name}/{k}", arrays) for k, v in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ArgumentError.of(f"{name} holds a {type(value).__name__}",
                           "numbers, strings, arrays, lists and dicts of them",
                           "saved = ('count', 'best')   # in the callback's class")


def put_together(value: Any, arrays: Arrays) -> Any:
    """The inverse of :func:`taken_apart`."""
    if isinstance(value, dict):
        if set(value) == {"$array"}:
            return arrays[value["$array"]]
        return {k: put_together(v, arrays) for k, v in value.items()}
    if isinstance(value, list):
        return [put_together(v, arrays) for v in value]
    return value
