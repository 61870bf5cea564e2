"""Values and gradients are those of JAX, except where stated."""

import functools
from typing import Any

import numpy as np
import pytest
from kink_table import KINKS, assert_stated
from peer_cases import (
    ALL_MINUS,
    BOTH_INF,
    CASES,
    DTYPES,
    EQUAL,
    LARGE,
    ONE_MINUS,
    ONE_NAN,
    ONE_ZERO,
    TWO_INF,
    TWO_ZEROS,
    ZEROS,
    Case,
    Different,
    Namespace,
    at_nan,
    check,
    fmod_without_value,
    minus_infinity,
    near_zero,
    origin,
    same_infinity,
    tie,
    weights,
    whole_power_of_negative,
)

jax = pytest.importorskip("jax", reason="JAX is not installed: make peers")
jnp = jax.numpy
jax.config.update("jax_enable_x64", True)


def _loss(f: Any) -> Any:
    return lambda target, x: jnp.mean(f(x - target), axis=-1)


JAX = Namespace(
    jnp, **{name: getattr(jax.nn, name) for name in ("relu", "sigmoid", "softplus", "elu", "silu", "softmax")},
    leaky_relu=lambda x: jax.nn.leaky_relu(x, 0.2), gelu=lambda x, approximate=False: jax.nn.gelu(x, approximate),
    erf=jax.scipy.special.erf, logsumexp=jax.nn.logsumexp, log_softmax=jax.nn.log_softmax,
    scan=jax.lax.scan, stop_gradient=jax.lax.stop_gradient, mse=_loss(jnp.square), mae=_loss(jnp.abs),
    huber=_loss(lambda e: jnp.where(jnp.abs(e) <= 1, e * e / 2, jnp.abs(e) - 0.5)),
    cross_entropy=lambda x, labels: -jnp.take_along_axis(jax.nn.log_softmax(x), labels[:, None], 1)[:, 0],
    binary_cross_entropy=lambda x, y: jnp.mean(jax.nn.softplus(x) - y * x, axis=-1))



def overflows(x: Any, y: Any) -> Any:
    return (np.isfinite(x) & (y == np.inf)) | same_infinity(x, y)


def flat_side(x: Any, y: Any) -> Any:
    return origin(x, y) | (np.isfinite(x) & np.isinf(y))


def swapped(f: Any) -> Any:
    return lambda x, y: f(y, x)


DIFFERENCES = [
    Different("abs", 0, lambda x: (x == 0) | at_nan(x), "1 at 0, -1 at NaN; ours are 0 and NaN"),
    Different("sinc", 0, near_zero, "cancellation next to 0; ours is a series there"),
    Different("leaky_relu", 0, lambda x: x == 0, "the slope of the right side; ours is that of the left, as of relu"),
    Different("fmax, fmin", 0, tie, "all to the second at ties; ours are halves"),
    Different("fmax, fmin", 1, tie, "all to the second at ties; ours are halves"),
    Different("hypot", 0, flat_side, "1/2 at the origin, NaN beside an infinite side; ours are 0"),
    Different("hypot", 1, swapped(flat_side), "1/2 at the origin, NaN beside an infinite side; ours are 0"),
    Different("arctan2", 0, origin, "NaN at the origin; ours is 0"),
    Different("arctan2", 1, origin, "NaN at the origin; ours is 0"),
    Different("logaddexp, logaddexp2", 0, overflows, "exp of the finite side next to ∞; 1 or NaN at infinite ties"),
    Different("logaddexp, logaddexp2", 1, swapped(overflows), "as above; ours are 0, and halves at ties"),
    Different("power", 0, lambda x, y: (y == 0) & ((x == 0) | at_nan(x)), "NaN; ours is 0, x ** 0 is 1 for every x"),
    Different("power", 1, whole_power_of_negative, "NaN for a negative base; ours is 0"),
    Different("remainder", 1, lambda x, y: np.isinf(x) & np.isfinite(y) & (y != 0), "infinite where the value is NaN"),
    Different("fmod", 1, fmod_without_value, "infinite where the value is NaN; ours is NaN"),
    Different("copysign", 0, lambda x, y: (x == 0) | at_nan(x), "as its abs"),
    Different("x ** 0.5", "value", minus_infinity, "C's pow(-∞, 0.5) = ∞; ours is the square root"),
    Different("x ** 0.5", 0, minus_infinity, "follows from the value"),
    Different("clip", 0, lambda x: (x == 1) | (x == -0.5) | at_nan(x), "1/2 at the bounds and 0 at NaN; ours are 1"),
    Different("max, min", 0, [ONE_NAN], "0 where the value is NaN; ours is NaN"),
    Different("std", 0, [ZEROS, EQUAL], "NaN for equal numbers; ours is 0"),
    Different("logsumexp", 0, [ALL_MINUS], "NaN; ours is 0"),
    Different("cumprod", 0, [TWO_INF, ONE_MINUS, ALL_MINUS, BOTH_INF], "infinities are multiplied in another order"),
    Different("norm", 0, [ZEROS], "NaN at 0; ours is 0"),
    Different("norm of order 1", 0, [ONE_ZERO, TWO_ZEROS, ZEROS, TWO_INF, BOTH_INF, ONE_NAN, LARGE], "as its abs"),
    Different("norm of order inf", 0, [ZEROS, ONE_NAN], "as its abs; 0 where the value is NaN"),
]


def answers(case: Case, dtype: str) -> list[np.ndarray]:
    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})  # much faster to compile
    def run(cotangent: Any, *args: Any) -> Any:
        value, pull = jax.vjp(lambda *a: case.f(JAX, *a), *args)
        return value, *pull(cotangent)
    return [np.asarray(a) for a in run(weights(case, dtype), *case.arrays(dtype))]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [c for c in CASES if "jax" not in c.lacks], ids=lambda c: c.name)
def test_as_jax(case, dtype):
    check(case, dtype, answers(case, dtype), DIFFERENCES)


@pytest.mark.parametrize("kink", [k for k in KINKS if k.jax is not None], ids=lambda k: f"{k.code} at {k.at}")
def test_kinks_of_jax(kink):
    assert_stated(jax.grad(kink.function(JAX))(jnp.asarray(kink.at)), kink.jax)
