"""Chainrule from layers: the model that a Keras user would build of a workload."""

from __future__ import annotations

from typing import Any

from peer_chainrule import optimizer_of
from workloads import Workload

from chainrule import layers, losses, models


class Operations:
    """A network's operations on symbolic arrays: each makes a layer."""

    def relu(self, x: Any) -> Any:
        return layers.ReLU()(x)

    def tanh(self, x: Any) -> Any:
        return layers.Activation("tanh")(x)

    def dense(self, x: Any, units: int) -> Any:
        return layers.Dense(units)(x)

    def conv(self, x: Any, filters: int, window: int, stride: int = 1, padding: str = "same",
             bias: bool = True) -> Any:
        return layers.Conv2D(filters, window, stride, padding, use_bias=bias)(x)

    def lstm(self, x: Any, units: int) -> Any:
        return layers.LSTM(units)(x)

    def batch_norm(self, x: Any) -> Any:
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)

    def max_pool(self, x: Any) -> Any:
        return layers.MaxPooling2D()(x)

    def global_avg_pool(self, x: Any) -> Any:
        return layers.GlobalAveragePooling2D()(x)

    def flatten(self, x: Any) -> Any:
        return layers.Flatten()(x)

    def dropout(self, x: Any, rate: float) -> Any:
        return layers.Dropout(rate)(x)


def model_of(work: Workload, kind: type[Any] = models.Model) -> Any:
    """The compiled model of a workload whose loss needs predictions alone."""
    given = layers.Input(work.arrays()[0].shape[1:])
    model = kind(given, work.net(Operations(), given))
    loss = {"binary": losses.BinaryCrossentropy(from_logits=True),
            "softmax": losses.SparseCategoricalCrossentropy(from_logits=True)}.get(work.loss, "mse")
    model.compile(optimizer_of(work), loss, metrics=["accuracy"] if work.classes else None)
    return model
