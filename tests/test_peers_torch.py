"""Values and gradients are those of PyTorch, except where stated."""

from typing import Any

import numpy as np
import pytest
from kink_table import KINKS, assert_stated
from peer_cases import (
    ALL_MINUS,
    BOTH_INF,
    CASES,
    DTYPES,
    LARGE,
    ONE_INF,
    ONE_MINUS,
    ONE_NAN,
    TWO_INF,
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

import chainrule
from chainrule.layers import Dense
from chainrule.models import Sequential

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make peers")
nn = torch.nn.functional


def tensor(x: Any) -> Any:
    return x if isinstance(x, torch.Tensor) else torch.tensor(x)


def _pad(x: Any, widths: Any, mode: str = "constant") -> Any:
    if mode == "reflect":  # of the last axis only
        return nn.pad(x[None], widths[-1], mode=mode)[0]
    return nn.pad(x, [n for pair in reversed(widths) for n in pair], mode=mode)


def _prod(x: Any, axis: int | None = None) -> Any:
    return torch.prod(x) if axis is None else torch.prod(x, axis)


def _norm(x: Any, ord: Any = None, axis: Any = None) -> Any:
    return torch.linalg.vector_norm(x, 2 if ord is None else ord, axis)


def _scan(f: Any, carry: Any, xs: Any) -> Any:
    out = []
    for x in xs:
        carry, y = f(carry, x)
        out.append(y)
    return carry, torch.stack(out)


def _all_axes(f: Any) -> Any:
    return lambda x, axis, keepdims=False: f(x, axis, keepdims)


TORCH = Namespace(
    torch, **{name: getattr(nn, name) for name in ("relu", "elu", "silu")},
    leaky_relu=lambda x: nn.leaky_relu(x, 0.2), softplus=nn.softplus,
    gelu=lambda x, approximate=False: nn.gelu(x, approximate="tanh" if approximate else "none"),
    erf=torch.special.erf, softmax=lambda x, axis: torch.softmax(x, axis), rint=torch.round, degrees=torch.rad2deg,
    radians=torch.deg2rad, power=torch.pow, max=_all_axes(torch.amax), min=_all_axes(torch.amin), prod=_prod,
    logsumexp=_all_axes(torch.logsumexp), log_softmax=lambda x: torch.log_softmax(x, -1),
    repeat=torch.repeat_interleave,
    var=lambda x, axis, ddof=0, keepdims=False: torch.var(x, axis, correction=ddof, keepdim=keepdims),
    std=lambda x, axis: torch.std(x, axis, correction=0), flip=torch.flip, pad=_pad, transpose=torch.permute,
    split=lambda x, n, axis: torch.tensor_split(x, n, axis), asarray=tensor, cross=torch.linalg.cross,
    take=lambda x, i, axis: x[:, i], take_along_axis=torch.take_along_dim, linalg=Namespace(torch.linalg, norm=_norm),
    scan=_scan, stop_gradient=torch.Tensor.detach, mse=lambda y, x: torch.mean((x - y) ** 2, -1),
    where=lambda c, x, y: torch.where(c, x, torch.as_tensor(y, dtype=x.dtype)),
    mae=lambda y, x: torch.mean(torch.abs(x - y), -1),
    huber=lambda y, x: torch.mean(nn.huber_loss(x, y, reduction="none"), -1),
    cross_entropy=lambda x, labels: nn.cross_entropy(x, tensor(labels), reduction="none"),
    binary_cross_entropy=lambda x, y: torch.mean(
        nn.binary_cross_entropy_with_logits(x, y, reduction="none"), -1))


INFINITE_ROWS = [ONE_INF, TWO_INF, ONE_MINUS, ALL_MINUS, BOTH_INF, ONE_NAN]
DIFFERENCES = [
    Different("abs", 0, at_nan, "0 at NaN; ours is NaN"),
    Different("sign", "value", at_nan, "0 for NaN; NumPy's is NaN"),
    Different("relu, elu", 0, at_nan, "1 at NaN; ours are 0 and NaN"),
    Different("clip", 0, at_nan, "0 at NaN; ours is 1"),
    Different("sinc", 0, near_zero, "cancellation next to 0; ours is a series there"),
    Different("softplus", 0, lambda x: (x == 30) & (x.dtype == "float64"), "taken as linear from 20 on"),
    Different("maximum, minimum", 0, at_nan, "1 for both where one is NaN; ours is 0"),
    Different("maximum, minimum", 1, at_nan, "1 for both where one is NaN; ours is 0"),
    Different("fmax, fmin", 0, tie, "all to the first at ties; ours are halves"),
    Different("fmax, fmin", 1, tie, "all to the first at ties; ours are halves"),
    Different("hypot", 0, origin, "NaN at the origin; ours is 0"),
    Different("hypot", 1, origin, "NaN at the origin; ours is 0"),
    Different("logaddexp, logaddexp2", 0, same_infinity, "NaN at ties of infinities; ours are halves"),
    Different("logaddexp, logaddexp2", 1, same_infinity, "NaN at ties of infinities; ours are halves"),
    Different("power", 1, lambda x, y: whole_power_of_negative(x, y) | ((x == 0) & (y < 0)),
              "NaN for a negative base, ours is 0; -∞ · log 0 for 0 to a negative power, ours is NaN"),
    Different("fmod", 1, fmod_without_value, "infinite where the value is NaN; ours is NaN"),
    Different("copysign", 0, lambda x, y: np.isinf(x), "NaN for an infinite size; ours is ±1"),
    Different("x ** 1.5", 0, minus_infinity, "NaN; ours is C's pow(-∞, 0.5) = ∞"),
    Different("x ** -0.5", "value", minus_infinity, "NaN; ours is C's pow(-∞, -0.5) = 0"),
    Different("var, var of a sample", 0, [ONE_INF, TWO_INF, ONE_MINUS], "infinite where the value is NaN; ours is NaN"),
    Different("logsumexp", 0, [ALL_MINUS], "NaN; ours is 0"),
    Different("logsumexp", 0, [LARGE], "exp(x - result) with the result rounded; ours is exp(x - max) / sum"),
    Different("cumprod", 0, INFINITE_ROWS, "divides by the elements; ours multiplies the others"),
    Different("norm of order 1", 0, [ONE_NAN], "as its abs"),
    Different("norm of order inf", 0, [ONE_NAN], "0 where the value is NaN; ours is NaN"),
]


def answers(case: Case, dtype: str) -> list[np.ndarray]:
    args = [torch.tensor(a, requires_grad=True) for a in case.arrays(dtype)]
    value = case.f(TORCH, *args)
    gradients = [None] * len(args)
    if value.requires_grad:
        gradients = torch.autograd.grad(value, args, torch.tensor(weights(case, dtype)), allow_unused=True)
    filled = [torch.zeros_like(a) if g is None else g for a, g in zip(args, gradients, strict=True)]
    return [a.detach().numpy() for a in (value, *filled)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [c for c in CASES if "torch" not in c.lacks], ids=lambda c: c.name)
def test_as_torch(case, dtype):
    check(case, dtype, answers(case, dtype), DIFFERENCES)


@pytest.mark.parametrize("kink", [k for k in KINKS if k.torch is not None], ids=lambda k: f"{k.code} at {k.at}")
def test_kinks_of_torch(kink):
    x = torch.tensor(kink.at, requires_grad=True)
    value = kink.function(TORCH)(x)
    gradient = torch.autograd.grad(value, x, allow_unused=True)[0] if value.requires_grad else None
    assert_stated(torch.zeros_like(x) if gradient is None else gradient, kink.torch)


def test_a_data_loader_trains_as_the_arrays_do():
    x = np.random.default_rng(0).normal(size=(420, 4)).astype(np.float32)
    y = (x[:, 0] > x[:, 1]).astype(np.int64)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y)),
                                         batch_size=4)
    found = []
    for data, options in (((x, y), {"batch_size": 4, "shuffle": False}), ((loader,), {})):
        chainrule.set_seed(1)
        model = Sequential([Dense(5, activation="tanh", input_dim=4), Dense(1, activation="sigmoid")])
        model.compile("adam", "binary_crossentropy")
        model.fit(*data, epochs=2, verbose=0, **options)
        found.append(model.get_weights())
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(model.predict(loader), model.predict(x))
    np.testing.assert_array_equal(model.predict(torch.from_numpy(x)), model.predict(x))
