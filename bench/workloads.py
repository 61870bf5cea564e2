"""What is trained: the networks and data that every peer gets alike."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Workload:
    """A dense network: relu in between, sigmoid at the end for one output, softmax for several; Adam."""

    title: str
    sizes: tuple[int, ...]
    rows: int
    batch: int
    learning_rate: float

    @property
    def binary(self) -> bool:
        return self.sizes[-1] == 1

    @property
    def steps(self) -> int:
        """Steps in an epoch; the rows are a multiple of the batch, so that no peer has a short one."""
        return self.rows // self.batch

    @property
    def flops(self) -> int:
        """Matrix products of a step: forward, weight gradients, input gradients but the first layer's."""
        weights = [a * b for a, b in zip(self.sizes, self.sizes[1:], strict=False)]
        return 2 * self.batch * (3 * sum(weights) - weights[0])

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Random x (float64, as a user makes it) and labels: a column of 0/1, or integer classes."""
        rng = np.random.default_rng(0)
        x = rng.random((self.rows, self.sizes[0]))
        if self.binary:
            return x, rng.integers(2, size=(self.rows, 1))
        return x, rng.integers(self.sizes[-1], size=self.rows)

    def parameters(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Glorot-uniform weights (inputs, outputs) and zero biases in float32, one pair a layer."""
        rng = np.random.default_rng(1)
        pairs = []
        for inputs, outputs in zip(self.sizes, self.sizes[1:], strict=False):
            limit = np.sqrt(6 / (inputs + outputs))
            weights = rng.uniform(-limit, limit, (inputs, outputs)).astype(np.float32)
            pairs.append((weights, np.zeros(outputs, np.float32)))
        return pairs


WORKLOADS = {
    "keras_script": Workload(
        "The Keras script: 10-32-16-1, binary cross-entropy, Adam, batch 10, accuracy",
        sizes=(10, 32, 16, 1),
        rows=1000,
        batch=10,
        learning_rate=0.01,
    ),
    "mlp": Workload(
        "MLP: 784-512-512-10, softmax cross-entropy, Adam, batch 128, accuracy",
        sizes=(784, 512, 512, 10),
        rows=128 * 40,
        batch=128,
        learning_rate=0.001,
    ),
}
