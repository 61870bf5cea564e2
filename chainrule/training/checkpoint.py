"""Checkpoints: all that a model and its training are, as arrays and plain facts.

A file holds every weight under its layer's name, and beside the weights the optimizer's arrays, the number of steps,
and within ``fit`` the key of the random numbers, the position in the epoch, the sums of its metrics, the history and
the state of the callbacks. With these a run goes on as if it had never stopped, to the last bit.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chainrule import configuration, random, tree
from chainrule._version import __version__
from chainrule.errors import FileError, ShapeError, UsageError
from chainrule.training import tensors
from chainrule.training.epoch import Task, own_step
from chainrule.training.objective import Objective
from chainrule.training.tensors import Arrays

FORMAT = 1
_OWN = ("params", "others")  # parts of the state that are the model's weights


def weight_names(model: Any) -> list[str]:
    """A name for each weight of a model, in the order of ``model.weights``: ``dense/kernel``, ``block/dense/bias``."""
    names: dict[Any, str] = {}
    taken: set[str] = set()

    def walk(layer: Any, above: str) -> None:
        below = {w for inner in layer.sublayers for w in inner.weights}
        for weight in layer.weights:
            if weight in below or weight in names:
                continue
            base = name = f"{above}{weight.name}"
            k = 0
            while name in taken:
                k += 1
                name = f"{base}_{k}"
            taken.add(name)
            names[weight] = name
        for inner in layer.sublayers:
            walk(inner, f"{above}{inner.name}/")
    walk(model, "")
    return [names[w] for w in model.weights]


def snapshot(model: Any) -> tuple[Arrays, dict[str, Any]]:
    """All that a model is at this moment; between two steps, if it is being trained."""
    names = weight_names(model)
    arrays = {f"weights/{name}": w.array for name, w in zip(names, model.weights, strict=True)}
    facts: dict[str, Any] = {"format": FORMAT, "version": __version__, "weights": names}
    training = model._running
    if training is not None:
        state = {k: v for k, v in training.state.items() if k not in _OWN}
        facts["training"] = _run(model, training, arrays)
    elif model._held is not None:
        state = dict(zip(("opt", "step"), model._held, strict=True))
    else:
        state = {}
        if model._saved_state is not None:  # not taken up yet
            arrays |= {name: a for name, a in model._saved_state[0].items() if name.startswith("state[")}
    arrays |= _named(state)
    if model.optimizer is not None:
        facts["learning_rates"] = [o.learning_rate for o in _optimizers(model)]
    return arrays, facts


def save(model: Any, filepath: Any, overwrite: bool = True, weights_only: bool = False) -> None:
    """Write a model to a file; see :meth:`chainrule.models.Model.save`."""
    path = tensors.named(filepath, "filepath")
    if not overwrite and path.exists():
        raise FileError.of(f"{path} is there already", "another name, or overwrite=True", "")
    if not model.weights and not model.built:
        raise UsageError.of(f"{model.name} has no weights to save; a model is built by its first data, or by Input",
                            "a model that is built", "model.build((None, 10))")
    arrays, facts = snapshot(model)
    if weights_only:
        arrays = {name: a for name, a in arrays.items() if name.startswith("weights/")}
        facts = {k: facts[k] for k in ("format", "version", "weights")}
    else:
        facts["model"] = configuration.serialize(model)
        facts["input_shape"] = getattr(model, "input_shape", None)
        facts["inner_shapes"] = _inner_shapes(model)
        facts["compile"] = _recipe(model)
    tensors.write(path, arrays, facts)


def _inner_shapes(layer: Any) -> list[Any]:
    """For each layer inside the shapes it was built for, or None, and the same of what is inside of it."""
    return [[list(inner.argument_shapes) if inner.built and inner.argument_shapes else None, _inner_shapes(inner)]
            for inner in layer.sublayers]


def _build_inner(layer: Any, shapes: list[Any]) -> None:
    """Build the layers inside that are not, such as those that only a ``train_step`` calls."""
    for inner, (own, further) in zip(layer.sublayers, shapes, strict=False):
        if not inner.built and own is not None:
            inner.ensure_built(*(tuple(s) if isinstance(s, list) and all(isinstance(n, int | None) for n in s) else s
                                 for s in own))
        _build_inner(inner, further)


def _recipe(model: Any) -> Any:
    """How the model was compiled; None if it was not, or with what cannot be written down."""
    try:
        return configuration.serialize(model.get_compile_config()) if model.optimizer is not None else None
    except UsageError as error:
        warnings.warn(f"how {model.name} was compiled is not saved, compile it anew after loading: {error}",
                      stacklevel=4)
        return None


def load_weights(model: Any, filepath: Any) -> None:
    """Take the weights from a file; see :meth:`chainrule.models.Model.load_weights`."""
    path = tensors.named(filepath, "filepath")
    put_weights(model, *tensors.read(path), path)


def load_model(filepath: Any, custom_objects: Any = None, compile: bool = True) -> Any:
    """The model of a file; see :func:`chainrule.models.load_model`."""
    with configuration.custom_object_scope(custom_objects):
        return _load_model(tensors.named(filepath, "filepath"), compile)


def _load_model(path: Path, compile: bool) -> Any:
    arrays, facts = tensors.read(path)
    if facts.get("format") != FORMAT or "model" not in facts:
        raise FileError.of(f"{path} holds no model" + (", only weights" if "weights" in facts else ""),
                           "a file of model.save()", "model.load_weights(path)   # into a model that is there")
    model = configuration.deserialize(facts["model"])
    if not hasattr(model, "compile"):
        raise FileError.of(f"{path} holds a {type(model).__name__} where a model should be", "a file of model.save()")
    if not model.weights and model.get_config().get("input_shape") is None and facts.get("input_shape"):
        model.build(tuple(facts["input_shape"]))
    if len(model.weights) != len(facts.get("weights", ())):
        _build_inner(model, facts.get("inner_shapes") or [])
    put_weights(model, arrays, facts, path)
    if compile and facts.get("compile"):
        model.compile_from_config(facts["compile"])
        if model.optimizer is not None:
            put_state(model, arrays, facts, path)
    return model


def _run(model: Any, training: Any, arrays: Arrays) -> dict[str, Any]:
    """The facts of a run of ``fit``."""
    epoch, step, samples = training.position
    history, generator = model.history, random.generator().bit_generator
    arrays["training/key"] = training.engine.key
    return {
        "epoch": epoch, "step": step, "samples": samples, "stopped": bool(model.stop_training),
        "batch": training.feed.batch, "steps": training.feed.steps,
        "history": {"epoch": list(history.epoch), "columns": tensors.taken_apart(history.history, "history", arrays)},
        "random": tensors.taken_apart(generator.state, "random", arrays),
        "callbacks": [{"class": type(c).__name__,
                       "state": tensors.taken_apart(_state_of(c), f"callbacks/{i}", arrays)}
                      for i, c in enumerate(training.callbacks)]}


def _state_of(callback: Any) -> dict[str, Any]:
    return callback.get_state() if hasattr(callback, "get_state") else {}


# ---------------------------------------------------------------- back


def put_weights(model: Any, arrays: Arrays, facts: dict[str, Any], path: Path) -> None:
    """Give a model the weights of a file, all of them or none."""
    names, weights = weight_names(model), model.weights
    found = facts.get("weights")
    if found is None:  # of another program: by name
        found = names
    values = [arrays.get(f"weights/{name}", arrays.get(name)) for name in found]
    if len(found) != len(names) or any(v is None for v in values):
        there = [n.removeprefix("weights/") for n in arrays if not n.startswith(("state[", "training/", "callbacks/"))]
        raise FileError.of(f"{path} holds weights {_listed(there, 8)}, and the model has {_listed(names, 8)}",
                           "the weights of the same layers", "")
    for name, weight, value in zip(names, weights, values, strict=True):
        assert value is not None
        if value.shape != weight.shape:
            raise ShapeError.of(f"{path} holds an array of shape {value.shape} for the weight {name} of shape "
                                f"{weight.shape}", "the weights of the same layers", "")
    for weight, value in zip(weights, values, strict=True):
        weight.array[...] = value


def put_state(model: Any, arrays: Arrays, facts: dict[str, Any], path: Path) -> None:
    """Give a compiled model the optimizers' state of a file; to one with a step of its own when it makes the first."""
    if model.optimizer is None or not any(name.startswith("state[") for name in arrays):
        return
    if model._held is None:
        if own_step(model, "train_step"):  # which optimizers there are is known when the step is recorded
            model._saved_state = arrays, facts, path
            return
        model._started(Task(model, Objective(()), model.optimizer), model.adopt())
    _put(dict(zip(("opt", "step"), model._held, strict=True)), arrays, path)
    _put_rates(model, facts)


def _optimizers(model: Any) -> list[Any]:
    return [model.optimizer] if model._task is None else model._task.optimizers


def _put_rates(model: Any, facts: dict[str, Any]) -> None:
    for optimizer, rate in zip(_optimizers(model), facts.get("learning_rates", ()), strict=False):
        if optimizer.has_number:
            optimizer.learning_rate = rate


def _named(state: Any) -> Arrays:
    """The arrays of a state by the way to them: ``state['opt']['m']``."""
    leaves, structure = tree.flatten(state)
    return dict(zip(tree.paths(structure, "state"), leaves, strict=True))


def _put(state: Any, arrays: Arrays, path: Path) -> None:
    """Write saved arrays into those of a state of the same structure, all of them or none."""
    wanted = _named(state)
    for name, array in wanted.items():
        value = arrays.get(name)
        if value is None or value.shape != array.shape or value.dtype != array.dtype:
            holds = "nothing" if value is None else f"{value.dtype}{list(value.shape)}"
            raise FileError.of(f"{path} holds {holds} for {name}, which is {array.dtype}{list(array.shape)}",
                               "a model compiled with the same optimizer, loss and metrics", "")
    for name, array in wanted.items():
        array[...] = arrays[name]


def put_training(model: Any, arrays: Arrays, facts: dict[str, Any], path: Path) -> None:
    """Make the run of ``fit`` that is about to begin the one that was saved.

    Raises:
        FileError, UsageError: if it is another one; nothing is changed then.
    """
    training, run = model._running, facts.get("training")
    if run is None:
        raise FileError.of(f"{path} was not saved within fit", "a file of BackupAndRestore", "")
    _check_same(training, run, path)
    state = {k: v for k, v in training.state.items() if k not in _OWN}
    _put(state, arrays, path)
    put_weights(model, arrays, facts, path)
    _put_rates(model, facts)
    training.engine.key[...] = arrays["training/key"]
    random.generator().bit_generator.state = tensors.put_together(run["random"], arrays)
    history = model.history
    history.epoch[:] = run["history"]["epoch"]
    for name, column in tensors.put_together(run["history"]["columns"], arrays).items():
        history.history.setdefault(name, [])[:] = column
    for callback, saved in zip(training.callbacks, run["callbacks"], strict=True):
        if saved["state"]:
            callback.set_state(tensors.put_together(saved["state"], arrays))
    training.resume(run["epoch"], run["step"], run["samples"])
    model.stop_training = run["stopped"]


def _check_same(training: Any, run: dict[str, Any], path: Path) -> None:
    names, saved = [type(c).__name__ for c in training.callbacks], [c["class"] for c in run["callbacks"]]
    pairs: Sequence[tuple[str, Any, Any]] = (
        ("callbacks", names, saved), ("batch size", training.feed.batch, run["batch"]),
        ("steps per epoch", training.feed.steps, run["steps"]))
    for what, now, then in pairs:
        if now != then and None not in (now, then):
            raise UsageError.of(f"{path} is of a run with {what} {then}, and this one has {now}",
                                "the same data and options, to go on; or no such file, to begin anew",
                                f"os.remove({str(path)!r})")


def _listed(names: Sequence[str], most: int) -> str:
    return ", ".join(names[:most]) + (f", … ({len(names)})" if len(names) > most else "") or "none"
