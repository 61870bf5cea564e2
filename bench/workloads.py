"""What is trained: networks, data and losses, each declared once for all peers.

A network is a function ``net(o, x)``. ``o`` has the operations of one library (``dense``, ``conv``, …), which take
their weights from a list, in the order in which the network asks for them. :class:`Declared` runs the same function on
shapes: it finds which weights there are, and counts the arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Weight:
    """One array of parameters. ``kind`` says how it is used: dense (in, out), kernel (window, in, out), ones, zeros."""

    kind: str
    shape: tuple[int, ...]

    def initial(self, rng: np.random.Generator) -> np.ndarray:
        """Glorot-uniform weights, ones or zeros, in float32."""
        if self.kind in ("ones", "zeros"):
            return np.full(self.shape, self.kind == "ones", np.float32)
        inputs, outputs = self.shape[-2] * math.prod(self.shape[:-2]), self.shape[-1] * math.prod(self.shape[:-2])
        limit = math.sqrt(6 / (inputs + outputs))
        return rng.uniform(-limit, limit, self.shape).astype(np.float32)


@dataclass(frozen=True)
class Shape:
    """What stands for an array while a network is declared. ``trained``: whether it depends on parameters."""

    sizes: tuple[int, ...]
    trained: bool = False

    def __add__(self, other: Shape) -> Shape:
        return replace(self, trained=self.trained or other.trained)


class Declared:
    """The operations on shapes: weights in ``weights``, multiplications and additions of a training step in ``flops``.

    A product counts once forward, once for its weights' gradient and, unless it reads the data, once for its input's.
    """

    def __init__(self) -> None:
        self.weights: list[Weight] = []
        self.flops = 0
        self.forward = 0
        self.channels: list[int] = []  # of every batch normalisation

    def _product(self, x: Shape, flops: int) -> None:
        self.forward += flops
        self.flops += flops * (3 if x.trained else 2)

    def dense(self, x: Shape, units: int) -> Shape:
        n = x.sizes[-1]
        self.weights += [Weight("dense", (n, units)), Weight("zeros", (units,))]
        self._product(x, 2 * math.prod(x.sizes) * units)
        return Shape((*x.sizes[:-1], units), True)

    def conv(self, x: Shape, filters: int, window: int, stride: int = 1, padding: str = "same",
             bias: bool = True) -> Shape:
        rows, height, width, channels = x.sizes
        self.weights += [Weight("kernel", (window, window, channels, filters))]
        self.weights += [Weight("zeros", (filters,))] * bias
        cut = 0 if padding == "same" else window - 1
        result = (rows, -(-(height - cut) // stride), -(-(width - cut) // stride), filters)
        self._product(x, 2 * math.prod(result) * window**2 * channels)
        return Shape(result, True)

    def lstm(self, x: Shape, units: int) -> Shape:
        rows, steps, n = x.sizes
        self.weights += [Weight("dense", (n, 4 * units)), Weight("dense", (units, 4 * units)),
                         Weight("zeros", (4 * units,))]
        self._product(x, 2 * rows * steps * n * 4 * units)
        self._product(Shape((), True), 2 * rows * steps * units * 4 * units)
        return Shape((rows, units), True)

    def batch_norm(self, x: Shape) -> Shape:
        self.weights += [Weight("ones", x.sizes[-1:]), Weight("zeros", x.sizes[-1:])]
        self.channels.append(x.sizes[-1])
        return x

    def max_pool(self, x: Shape) -> Shape:
        rows, height, width, channels = x.sizes
        return replace(x, sizes=(rows, height // 2, width // 2, channels))

    def global_avg_pool(self, x: Shape) -> Shape:
        return replace(x, sizes=(x.sizes[0], x.sizes[-1]))

    def flatten(self, x: Shape) -> Shape:
        return replace(x, sizes=(x.sizes[0], math.prod(x.sizes[1:])))

    def dropout(self, x: Shape, rate: float) -> Shape:
        return x

    def relu(self, x: Shape) -> Shape:
        return x

    tanh = relu


@dataclass(frozen=True)
class Workload:
    """A network, its data and how it is trained.

    Attributes:
        title: names it in the tables.
        net: see the module.
        data: of a generator and a number of rows: x as floats, y as floats (rows, n) or integer classes (rows,).
        loss: "softmax" (cross-entropy of classes), "binary", "mse", or "burgers": see :func:`burgers`.
        optimizer: "adam", "sgd" or "momentum" (0.9).
        rows: of the data, a multiple of the batch, so that no peer has a short one.
        sizes: of a network of dense layers with relu between them, for the peers that know nothing else.
        products: how often the network's products are computed in a forward pass.
    """

    title: str
    net: Callable[[Any, Any], Any]
    data: Callable[[np.random.Generator, int], Arrays]
    loss: str
    optimizer: str
    learning_rate: float
    batch: int
    rows: int
    sizes: tuple[int, ...] = ()
    products: int = 1

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return self.rows // self.batch

    @property
    def classes(self) -> bool:
        """Whether there are right answers to count."""
        return self.loss in ("softmax", "binary")

    @cached_property
    def declared(self) -> Declared:
        """The network run on the shape of a batch."""
        declared = Declared()
        self.net(declared, Shape((self.batch, *self.arrays()[0].shape[1:])))
        return declared

    @property
    def flops(self) -> int:
        """Of the products of a step."""
        return self.products * self.declared.flops

    def arrays(self) -> Arrays:
        """The same random x and y for all peers."""
        return self.data(np.random.default_rng(0), self.rows)

    def parameters(self) -> list[np.ndarray]:
        """The same initial weights for all peers."""
        rng = np.random.default_rng(1)
        return [weight.initial(rng) for weight in self.declared.weights]

    def one_step(self) -> Workload:
        """The same with one batch of data."""
        return replace(self, rows=self.batch)


# ---------------------------------------------------------------- the networks


def layers(*sizes: int, activation: str = "relu") -> Callable[[Any, Any], Any]:
    """Dense layers with an activation between them."""
    def net(o: Any, x: Any) -> Any:
        for units in sizes[1:-1]:
            x = getattr(o, activation)(o.dense(x, units))
        return o.dense(x, sizes[-1])
    return net


def lenet(o: Any, x: Any) -> Any:
    for filters in (32, 64):
        x = o.max_pool(o.relu(o.conv(x, filters, 3, padding="valid")))
    return o.dense(o.dropout(o.flatten(x), 0.5), 10)


def resnet20(o: Any, x: Any) -> Any:
    """He et al. 2016 for 32×32×3, with 1×1 convolutions where the shape changes."""
    def normed(x: Any, filters: int, window: int, stride: int = 1) -> Any:
        return o.batch_norm(o.conv(x, filters, window, stride, bias=False))

    x = o.relu(normed(x, 16, 3))
    for filters in (16, 32, 64):
        for block in range(3):
            stride = 2 if block == 0 and filters > 16 else 1
            y = normed(o.relu(normed(x, filters, 3, stride)), filters, 3)
            x = o.relu(y + (normed(x, filters, 1, 2) if stride == 2 else x))
    return o.dense(o.global_avg_pool(x), 10)


def lstm(o: Any, x: Any) -> Any:
    """The last state of 64 units, and one number of it."""
    return o.dense(o.lstm(x, 64), 1)


def burgers(u: Any, u_t: Any, u_x: Any, u_xx: Any) -> Any:
    """The residual of Burgers' equation. Its mean square, and that of u - y, are the loss "burgers"."""
    return u_t + u * u_x - (0.01 / math.pi) * u_xx


# ---------------------------------------------------------------- the data


def labelled(shape: tuple[int, ...], classes: int) -> Callable[[np.random.Generator, int], Arrays]:
    """Random x and integer classes; for one class a column of 0 and 1."""
    def data(rng: np.random.Generator, rows: int) -> Arrays:
        x = rng.random((rows, *shape), np.float32)
        return x, rng.integers(2, size=(rows, 1)) if classes == 1 else rng.integers(classes, size=rows)
    return data


def regression(shape: tuple[int, ...], outputs: int) -> Callable[[np.random.Generator, int], Arrays]:
    """Random x, and y to come near to."""
    def data(rng: np.random.Generator, rows: int) -> Arrays:
        return rng.normal(size=(rows, *shape)).astype(np.float32), rng.random((rows, outputs), np.float32)
    return data


def dense(title: str, sizes: tuple[int, ...], steps: int, batch: int, learning_rate: float,
          optimizer: str = "adam") -> Workload:
    """A classifier of dense layers with relu."""
    return Workload(f"{title}: {'-'.join(map(str, sizes))}, cross-entropy, {optimizer}, batch {batch}", layers(*sizes),
                    labelled(sizes[:1], sizes[-1]), "binary" if sizes[-1] == 1 else "softmax", optimizer,
                    learning_rate, batch, steps * batch, sizes)


WORKLOADS = {
    "keras_script": dense("The Keras script", (10, 32, 16, 1), 100, 10, 0.01),
    "mlp": dense("MLP", (784, 512, 512, 10), 40, 128, 0.001),
    "softmax": dense("Softmax regression", (784, 10), 200, 32, 0.01, "sgd"),
    "gemm": Workload("GEMM-bound: 1024-2048-2048-1024, mean squared error, sgd, batch 256",
                     layers(1024, 2048, 2048, 1024), regression((1024,), 1024), "mse", "sgd", 0.01, 256, 4 * 256),
    "physics": Workload("Physics-informed: 2-64-64-64-1 tanh, Burgers' equation, adam, 1,024 points",
                        layers(2, 64, 64, 64, 1, activation="tanh"), regression((2,), 1), "burgers", "adam", 0.001,
                        1024, 16 * 1024, products=4),
    "lenet": Workload("LeNet: 28×28, two convolutions, dropout, adam, batch 64", lenet, labelled((28, 28, 1), 10),
                      "softmax", "adam", 0.001, 64, 16 * 64),
    "resnet20": Workload("ResNet-20: 32×32×3, batch normalisation, momentum, batch 64", resnet20,
                         labelled((32, 32, 3), 10), "softmax", "momentum", 0.01, 64, 2 * 64),
    "lstm": Workload("LSTM: 64 units, 64 steps of 32 features, mean squared error, adam, batch 32", lstm,
                     regression((64, 32), 1), "mse", "adam", 0.001, 32, 32 * 32),
}
