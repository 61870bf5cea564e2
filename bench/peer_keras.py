"""Keras: a model of layers, compiled with the defaults; or tuned: one program for many steps, XLA where it helps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from workloads import Workload, burgers


class Operations:
    """A network's operations on symbolic tensors: each makes a layer."""

    def relu(self, x: Any) -> Any:
        return keras.layers.ReLU()(x)

    def tanh(self, x: Any) -> Any:
        return keras.layers.Activation("tanh")(x)

    def dense(self, x: Any, units: int) -> Any:
        return keras.layers.Dense(units)(x)

    def conv(self, x: Any, filters: int, window: int, stride: int = 1, padding: str = "same",
             bias: bool = True) -> Any:
        return keras.layers.Conv2D(filters, window, stride, padding, use_bias=bias)(x)

    def lstm(self, x: Any, units: int) -> Any:
        return keras.layers.LSTM(units)(x)

    def batch_norm(self, x: Any) -> Any:
        return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)

    def max_pool(self, x: Any) -> Any:
        return keras.layers.MaxPooling2D()(x)

    def global_avg_pool(self, x: Any) -> Any:
        return keras.layers.GlobalAveragePooling2D()(x)

    def flatten(self, x: Any) -> Any:
        return keras.layers.Flatten()(x)

    def dropout(self, x: Any, rate: float) -> Any:
        return keras.layers.Dropout(rate)(x)


def with_residual() -> type[Any]:
    """A model whose loss holds derivatives by its input: TensorFlow's tapes, nested."""
    import tensorflow as tf

    class Residual(keras.Model):
        def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
                         training: bool = True) -> Any:
            with tf.GradientTape() as second:
                second.watch(x)
                with tf.GradientTape() as first:
                    first.watch(x)
                    u = self(x, training=training)
                by = first.gradient(u, x)
                u_x = by[:, 1:]
            u_xx = second.gradient(u_x, x)[:, 1:]
            residual = burgers(u, by[:, :1], u_x, u_xx)
            return tf.reduce_mean(tf.square(residual)) + tf.reduce_mean(tf.square(u - y))

    return Residual


def build(work: Workload, threads: int, tuned: bool = False) -> Callable[[int], list[float]]:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
    x, y = work.arrays()
    kind = with_residual() if work.loss == "burgers" else keras.Model
    given = keras.Input(x.shape[1:])
    model = kind(given, work.net(Operations(), given))
    if work.optimizer == "adam":
        optimizer = keras.optimizers.Adam(work.learning_rate)
    else:
        optimizer = keras.optimizers.SGD(work.learning_rate, momentum=0.9 * (work.optimizer == "momentum"))
    losses = {
        "binary": keras.losses.BinaryCrossentropy(from_logits=True),
        "softmax": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    }
    images = any(weight.kind == "kernel" for weight in work.declared.weights)  # XLA's convolutions are slower
    how = {"jit_compile": not images, "steps_per_execution": min(work.steps, 50)} if tuned else {}
    model.compile(loss=losses.get(work.loss, "mse"), optimizer=optimizer,
                  metrics=["accuracy"] if work.classes else None, **how)

    def train(epochs: int) -> list[float]:
        return model.fit(x, y, epochs=epochs, batch_size=work.batch, verbose=0).history["loss"]

    return train
