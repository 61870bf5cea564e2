"""JAX: a jitted step called from Python, or a jitted epoch: shuffle, `lax.scan` over batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from workloads import Workload, burgers

EPSILON = 1e-7  # Keras's default in Adam, given to all
CHANNELS_LAST = ("NHWC", "HWIO", "NHWC")


class Operations:
    """A network's operations on traced arrays."""

    def __init__(self, weights: list[Any], stats: list[Any], key: Any) -> None:
        self._weights, self._stats, self._key = iter(weights), iter(stats), key
        self.new_stats: list[Any] = []

    relu, tanh = staticmethod(jax.nn.relu), staticmethod(jnp.tanh)

    def dense(self, x: Any, units: int) -> Any:
        return x @ next(self._weights) + next(self._weights)

    def conv(self, x: Any, filters: int, window: int, stride: int = 1, padding: str = "same",
             bias: bool = True) -> Any:
        out = jax.lax.conv_general_dilated(x, next(self._weights), (stride, stride), padding.upper(),
                                           dimension_numbers=CHANNELS_LAST)
        return out + next(self._weights) if bias else out

    def lstm(self, x: Any, units: int) -> Any:
        kernel, recurrent, bias = (next(self._weights) for _ in range(3))
        projected = jnp.swapaxes(x @ kernel + bias, 0, 1)

        def step(carry: Any, row: Any) -> Any:
            h, c = carry
            i, f, g, o = jnp.split(row + h @ recurrent, 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None
        zeros = jnp.zeros((x.shape[0], units))
        return jax.lax.scan(step, (zeros, zeros), projected)[0][0]

    def batch_norm(self, x: Any) -> Any:
        axes = tuple(range(x.ndim - 1))
        mean, variance = jnp.mean(x, axes), jnp.var(x, axes)
        for new in (mean, variance):
            old = next(self._stats)
            self.new_stats.append(old + (new - old) * 0.1)
        return (x - mean) * (jax.lax.rsqrt(variance + 1e-5) * next(self._weights)) + next(self._weights)

    def max_pool(self, x: Any) -> Any:
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    def global_avg_pool(self, x: Any) -> Any:
        return jnp.mean(x, (1, 2))

    def flatten(self, x: Any) -> Any:
        return x.reshape(x.shape[0], -1)

    def dropout(self, x: Any, rate: float) -> Any:
        return jnp.where(jax.random.bernoulli(self._key, 1 - rate, x.shape), x / (1 - rate), 0)


def jets(f: Callable[[Any], Any], x: Any) -> tuple[Any, ...]:
    """f, its derivatives along both axes, and the second one along the last."""
    t, s = (jnp.broadcast_to(axis, x.shape) for axis in np.eye(2, dtype=np.float32))
    u, u_t = jax.jvp(f, (x,), (t,))
    u_x, u_xx = jax.jvp(lambda x: jax.jvp(f, (x,), (s,))[1], (x,), (s,))
    return u, u_t, u_x, u_xx


def loss_of(work: Workload) -> Callable[..., Any]:
    def loss(weights: list[Any], stats: list[Any], key: Any, x: Any, y: Any) -> Any:
        o = Operations(weights, stats, key)
        if work.loss == "burgers":
            u, *rest = jets(lambda x: work.net(Operations(weights, stats, key), x), x)
            return jnp.mean(jnp.square(burgers(u, *rest))) + jnp.mean(jnp.square(u - y)), (0, [])
        z = work.net(o, x)
        if work.loss == "mse":
            return jnp.mean(jnp.square(z - y)), (0, o.new_stats)
        if work.loss == "binary":
            value, right = jnp.mean(jax.nn.softplus(z) - z * y), (z > 0) == (y > 0)
        else:
            value = -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1))
            right = jnp.argmax(z, 1) == y
        return value, (jnp.sum(right), o.new_stats)
    return loss


def rule_of(work: Workload) -> tuple[int, Callable[..., Any]]:
    """How many arrays of state each weight has, and ``rule(p, g, state, t) -> (p, state)``."""
    rate = work.learning_rate

    def adam(p: Any, g: Any, state: Any, t: Any) -> Any:
        m, v = state
        m, v = m + 0.1 * (g - m), v + 0.001 * (g * g - v)
        scale = rate * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        return p - scale * m / (jnp.sqrt(v) + EPSILON), (m, v)

    def momentum(p: Any, g: Any, state: Any, t: Any) -> Any:
        m = 0.9 * state[0] - rate * g
        return p + m, (m,)

    rules = {"adam": (2, adam), "momentum": (1, momentum), "sgd": (0, lambda p, g, state, t: (p - rate * g, ()))}
    return rules[work.optimizer]


def train(work: Workload, scanned: bool) -> Callable[[int], list[float]]:
    """A step, or (``scanned``) an epoch at a call."""
    loss, (extra, rule) = loss_of(work), rule_of(work)
    x, y = work.arrays()
    y = y.astype(np.float32 if work.loss != "softmax" else np.int32)

    def step(state: Any, batch: Any) -> Any:
        params, opt, stats, t, key = state
        t, noise = t + 1, jax.random.fold_in(key, t)
        (value, (right, stats)), grads = jax.value_and_grad(loss, has_aux=True)(params, stats, noise, *batch)
        pairs = [rule(p, g, s, t) for p, g, s in zip(params, grads, opt, strict=True)]
        params, opt = (list(part) for part in zip(*pairs, strict=True))
        return (params, opt, stats, t, key), (value, right)

    def scanned_epoch(state: Any, x: Any, y: Any, key: Any) -> Any:
        order = jax.random.permutation(key, work.rows).reshape(work.steps, work.batch)
        state, (losses, right) = jax.lax.scan(lambda state, rows: step(state, (x[rows], y[rows])), state, order)
        return state, losses.mean(), right.sum()

    params = [jnp.asarray(w) for w in work.parameters()]
    opt = [tuple(jnp.zeros_like(p) for _ in range(extra)) for p in params]
    stats = [start(n) for n in work.declared.channels for start in (jnp.zeros, jnp.ones)]
    state = params, opt, stats, jnp.zeros((), np.int32), jax.random.key(0)
    run_step, run_epoch = jax.jit(step, donate_argnums=0), jax.jit(scanned_epoch, donate_argnums=0)
    on_device = (jnp.asarray(x), jnp.asarray(y)) if scanned else ()
    rng = np.random.default_rng(0)

    def stepwise_epoch(state: Any) -> Any:
        order = rng.permutation(work.rows)
        metrics = []
        for start in range(0, work.rows, work.batch):
            rows = order[start:start + work.batch]
            state, batch_metrics = run_step(state, (x[rows], y[rows]))
            metrics.append(batch_metrics)
        losses, right = zip(*metrics, strict=True)
        return state, np.mean(losses), np.sum(right)

    def epochs(count: int) -> list[float]:
        nonlocal state
        losses = []
        for _ in range(count):
            if scanned:
                state, value, _ = run_epoch(state, *on_device, jax.random.key(rng.integers(2**31)))
            else:
                state, value, _ = stepwise_epoch(state)
            losses.append(float(value))
        return losses

    return epochs
