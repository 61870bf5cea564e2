"""Chainrule from functions: a whole epoch is compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from workloads import Workload, burgers

import chainrule as cr
from chainrule import nn, random, tree


class Operations:
    """A network's operations on traced arrays."""

    def __init__(self, weights: list[Any], stats: list[Any], key: Any) -> None:
        self._weights, self._stats, self._key = iter(weights), iter(stats), key
        self.new_stats: list[Any] = []

    relu, tanh = staticmethod(nn.relu), staticmethod(np.tanh)
    global_avg_pool = staticmethod(nn.global_avg_pool)

    def dense(self, x: Any, units: int) -> Any:
        return x @ next(self._weights) + next(self._weights)

    def conv(self, x: Any, filters: int, window: int, stride: int = 1, padding: str = "same",
             bias: bool = True) -> Any:
        out = nn.conv(x, next(self._weights), stride, padding)
        return out + next(self._weights) if bias else out

    def lstm(self, x: Any, units: int) -> Any:
        kernel, recurrent, bias = (next(self._weights) for _ in range(3))
        return nn.lstm(x, kernel, recurrent, bias)[1][0]

    def batch_norm(self, x: Any) -> Any:
        mean, variance = nn.moments(x, tuple(range(x.ndim - 1)))
        for new in (mean, variance):
            old = next(self._stats)
            self.new_stats.append(old + (new - old) * np.float32(0.1))
        return nn.batch_norm(x, mean, variance, next(self._weights), next(self._weights), epsilon=1e-5)

    def max_pool(self, x: Any) -> Any:
        return nn.max_pool(x, 2)

    def flatten(self, x: Any) -> Any:
        return x.reshape(x.shape[0], -1)

    def dropout(self, x: Any, rate: float) -> Any:
        self._key = random.fold_in(self._key, 1)
        return nn.dropout(self._key, x, rate)


def jets(f: Callable[[Any], Any], x: Any) -> tuple[Any, ...]:
    """f, its derivatives along both axes, and the second one along the last."""
    t, s = (np.broadcast_to(axis, x.shape) for axis in np.eye(2, dtype=np.float32))
    u, u_t = cr.jvp(f, (x,), (t,))
    u_x, u_xx = cr.jvp(lambda x: cr.jvp(f, (x,), (s,))[1], (x,), (s,))
    return u, u_t, u_x, u_xx


def loss_of(work: Workload) -> Callable[..., Any]:
    """``loss(weights, stats, key, x, y) -> (loss, (right answers, new stats))``."""
    def loss(weights: list[Any], stats: list[Any], key: Any, x: Any, y: Any) -> Any:
        o = Operations(weights, stats, key)
        if work.loss == "burgers":
            u, *rest = jets(lambda x: work.net(Operations(weights, stats, key), x), x)
            return np.mean(np.square(burgers(u, *rest))) + np.mean(np.square(u - y)), (np.int32(0), [])
        z = work.net(o, x)
        if work.loss == "mse":
            return np.mean(np.square(z - y)), (np.int32(0), o.new_stats)
        if work.loss == "binary":
            value, right = np.mean(nn.softplus(z) - z * y), (z > 0) == (y > 0)
        else:
            picked = np.take_along_axis(nn.log_softmax(z), y[:, None], 1)
            value, right = -np.mean(picked), np.argmax(z, axis=1) == y
        return value, (np.sum(right, dtype=np.int32), o.new_stats)
    return loss


def optimizer_of(work: Workload) -> cr.optimizers.Optimizer:
    if work.optimizer == "adam":
        return cr.optimizers.Adam(work.learning_rate)
    return cr.optimizers.SGD(work.learning_rate, momentum=0.9 * (work.optimizer == "momentum"))


def unpacked(flat: Any, shapes: list[tuple[int, ...]]) -> Iterator[Any]:
    """The arrays that lie in one vector."""
    at = 0
    for shape in shapes:
        n = int(np.prod(shape))
        yield flat[at:at + n].reshape(shape)
        at += n


def epoch_of(work: Workload) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A function that trains one epoch, ``epoch(state, x, y, key) -> (state, loss, right answers)``; its arguments."""
    optimizer, loss = optimizer_of(work), loss_of(work)
    weights = work.parameters()
    shapes = [w.shape for w in weights]
    flat = np.concatenate([w.ravel() for w in weights])
    stats = [start(n, np.float32) for n in work.declared.channels for start in (np.zeros, np.ones)]
    state = {"params": flat, "opt": optimizer.init(flat), "step": np.zeros((), np.int64), "stats": stats}
    x, y = work.arrays()
    y = y.astype(np.float32 if work.loss != "softmax" else np.int32)

    def epoch(state: Any, x: Any, y: Any, key: Any) -> Any:
        def step(carry: Any, rows: Any) -> Any:
            state, total, right = carry
            noise = random.fold_in(key, state["step"])
            weights = list(unpacked(state["params"], shapes))
            (value, (hits, stats)), grads = cr.value_and_grad(loss, has_aux=True)(
                weights, state["stats"], noise, x[rows], y[rows])
            flat = np.concatenate([g.ravel() for g in grads]) if len(grads) > 1 else grads[0].ravel()
            params, opt = optimizer.update(state["params"], flat, state["opt"], work.learning_rate, state["step"])
            after = {"params": params, "opt": opt, "step": state["step"] + 1, "stats": stats}
            return (after, total + value, right + hits), None

        order = random.permutation(key, work.rows).reshape(work.steps, work.batch)
        start = state, np.zeros((), np.float32), np.zeros((), np.int32)
        (state, total, right), _ = cr.scan(step, start, order)
        return state, total / work.steps, right
    return epoch, (state, x, y, random.key(0))


def functions(work: Workload, threads: int = 1) -> Callable[[int], list[float]]:
    """An epoch is one native call."""
    cr.set_threads(threads)
    epoch, (*arguments, key) = epoch_of(work)
    arguments = tree.map_leaves(cr.aligned, arguments)  # as peers copy NumPy's arrays to places of their own
    run, rng = cr.jit(epoch, donate=(0,)).bind(*arguments, key), np.random.default_rng(0)

    def train(epochs: int) -> list[float]:
        losses = []
        for _ in range(epochs):
            key[...] = random.key(rng.integers(2**31))
            run()
            losses.append(float(run.result[1]))
        return losses

    return train
