"""Prediction of one sample: what can be looked up and checked once is looked up and checked once."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.layers.weights import FLOAT, Version
from chainrule.ops.declare import OBSERVER
from chainrule.training.epoch import prediction_program


class Single:
    """The program that predicts one row of a model with one input and one output, tied to the model's weights.

    Args:
        model: built, its parameters in one vector.
        x: a checked batch of one row.
    """

    def __init__(self, model: Any, x: np.ndarray) -> None:
        self._model, self._shape, self._version = model, x.shape, Version.now
        weights = model._current()
        program = model._programs.get(("predict", 1, 1), partial(prediction_program, model, 1))
        compiled = program.compile(weights, x[None])
        self._executable = compiled.executable
        self._inputs = tree.flatten(weights)[0]
        # a model whose state a prediction changes, or that has several outputs, is not predicted here
        self.usable = len(compiled.outputs) == 1 and weights[0] is model._params
        self._output = compiled.outputs[0]

    def __call__(self, x: np.ndarray) -> np.ndarray | None:
        """The prediction; None where ``x`` or the model is another than before, or anything is unusual."""
        model = self._model
        if (x.shape != self._shape or x.dtype != FLOAT or not x.flags.c_contiguous or self._version != Version.now
                or not math.isfinite(np.add.reduce(x, None)) or OBSERVER.get() is not None
                or not model._owns(model.arranged()[0])):
            return None
        shape, dtype = self._output
        out = np.empty(shape, dtype)
        self._executable.run([*self._inputs, x], [out])
        return out[0]
