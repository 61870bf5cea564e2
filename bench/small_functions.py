"""Twenty small functions as people write them, once for all: NumPy's names, the library passed in.

    python small_functions.py LIBRARY FUNCTION

runs one of them in a fresh process and prints JSON: the seconds until the first result of the compiled function, from
the call that makes it on (the library is imported, and has compiled one trivial function before), and of a gradient
without compilation when it is asked for a second time.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy


@dataclass(frozen=True)
class Library:
    """What the functions use of a library: its array functions and transformations."""

    np: Any
    jit: Callable[[Callable[..., Any]], Callable[..., Any]]
    grad: Callable[[Callable[..., Any]], Callable[..., Any]]
    hvp: Callable[..., Any]
    scan: Callable[..., Any]
    array: Callable[[numpy.ndarray], Any]
    wait: Callable[[Any], Any]


def sum_of_squares(lib, x):
    return lib.np.sum(x**2)


def polynomial(lib, x):
    return 1 + x * (0.5 + x * (-0.25 + x * (0.125 - 0.0625 * x)))


def softmax(lib, x):
    e = lib.np.exp(x - lib.np.max(x, axis=1, keepdims=True))
    return e / lib.np.sum(e, axis=1, keepdims=True)


def layer_norm(lib, x, gain, bias):
    centred = x - lib.np.mean(x, axis=-1, keepdims=True)
    variance = lib.np.mean(centred**2, axis=-1, keepdims=True)
    return centred / lib.np.sqrt(variance + 1e-5) * gain + bias


def standardise_and_clip(lib, x):
    mean = lib.np.mean(x, axis=0)
    deviation = lib.np.sqrt(lib.np.mean((x - mean) ** 2, axis=0))
    return lib.np.clip((x - mean) / (deviation + 1e-6), -2, 2)


def running_mean(lib, x):
    return lib.np.cumsum(x, axis=0) / lib.np.arange(1, len(x) + 1)


def rosenbrock(lib, x):
    return lib.np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def huber_loss(lib, w, x, y):
    error = lib.np.abs(x @ w - y)
    return lib.np.mean(lib.np.where(error < 1, 0.5 * error**2, error - 0.5))


def logistic_loss(lib, w, x, y):
    return lib.np.mean(lib.np.log1p(lib.np.exp(-y * (x @ w))))


def mlp_loss(lib, params, x, y):
    for w, b in params[:-1]:
        x = lib.np.tanh(x @ w + b)
    w, b = params[-1]
    return lib.np.mean((x @ w + b - y) ** 2)


def adam_step(lib, params, grads, m, v, t):
    """Nested dicts in, nested dicts out."""
    step = {"params": {}, "m": {}, "v": {}}
    for name, layer in params.items():
        for part in step.values():
            part[name] = {}
        for key, p in layer.items():
            g = grads[name][key]
            mean = step["m"][name][key] = 0.9 * m[name][key] + 0.1 * g
            square = step["v"][name][key] = 0.999 * v[name][key] + 0.001 * g**2
            corrected = lib.np.sqrt(square / (1 - 0.999**t)) + 1e-8
            step["params"][name][key] = p - 0.01 * mean / (1 - 0.9**t) / corrected
    return step


def distance_matrix(lib, x):
    return lib.np.sqrt(lib.np.sum((x[:, None, :] - x[None, :, :]) ** 2, axis=-1) + 1e-12)


def kernel_regression(lib, query, x, y):
    weights = lib.np.exp(-2 * (query[:, None] - x[None, :]) ** 2)
    return (weights @ y) / lib.np.sum(weights, axis=1)


def k_means_assignment(lib, x, centres):
    return lib.np.argmin(lib.np.sum((x[:, None, :] - centres[None, :, :]) ** 2, axis=-1), axis=1)


def convolution_by_slices(lib, x, kernel):
    return sum(kernel[i] * x[i:len(x) - 4 + i] for i in range(5))


def attention_head(lib, x, wq, wk, wv):
    q, k, v = x @ wq, x @ wk, x @ wv
    return softmax(lib, q @ k.T / 8**0.5) @ v


def matrix_chain(lib, a, b, c, x):
    return a @ (b @ (c @ x))


def rnn_step(lib, h, x, w, u, b):
    return lib.np.tanh(x @ w + h @ u + b)


def rnn_scan(lib, h, xs, w, u, b):
    def step(h, x):
        h = rnn_step(lib, h, x, w, u, b)
        return h, h

    return lib.scan(step, h, xs)[1]


def random_arrays(*shapes: tuple[int, ...]) -> list[numpy.ndarray]:
    rng = numpy.random.default_rng(0)
    return [rng.normal(0, 0.5, shape).astype(numpy.float32) for shape in shapes]


def network() -> list[Any]:
    x, y, *weights = random_arrays((32, 10), (32, 1), (10, 32), (32,), (32, 16), (16,), (16, 1), (1,))
    return [list(zip(weights[::2], weights[1::2], strict=True)), x, y]


def adam_state() -> list[Any]:
    weights = random_arrays((10, 32), (32,), (32, 1), (1,))
    params = {"hidden": {"w": weights[0], "b": weights[1]}, "out": {"w": weights[2], "b": weights[3]}}
    return [params, params, params, {k: {n: a**2 for n, a in v.items()} for k, v in params.items()},
            numpy.float32(3)]


@dataclass(frozen=True)
class Case:
    """A function, its arguments, and what is compiled: its ``value``, its ``gradient``, or a product with its Hessian.

    ``smooth``: whether its gradient (that of the sum of its results) is timed without compilation.
    """

    function: Callable[..., Any]
    arguments: Callable[[], Sequence[Any]]
    compiled: str = "value"
    smooth: bool = True


def given(*shapes: tuple[int, ...]) -> Callable[[], list[numpy.ndarray]]:
    return lambda: random_arrays(*shapes)


CASES = {
    "sum of squares": Case(sum_of_squares, given((1000,))),
    "polynomial": Case(polynomial, given((1000,))),
    "softmax": Case(softmax, given((32, 10))),
    "layer norm": Case(layer_norm, given((32, 64), (64,), (64,))),
    "standardise, clip": Case(standardise_and_clip, given((200, 8))),
    "running mean": Case(running_mean, given((1000,))),
    "Rosenbrock, gradient": Case(rosenbrock, given((10,)), "gradient"),
    "Rosenbrock, Hessian product": Case(rosenbrock, given((10,)), "Hessian product"),
    "Huber loss, gradient": Case(huber_loss, given((8,), (100, 8), (100,)), "gradient"),
    "logistic regression, gradient": Case(logistic_loss, given((8,), (100, 8), (100,)), "gradient"),
    "network of 3 layers, gradient": Case(mlp_loss, network, "gradient"),
    "Adam step on nested dicts": Case(adam_step, adam_state, smooth=False),
    "distance matrix": Case(distance_matrix, given((50, 3))),
    "kernel regression": Case(kernel_regression, given((20,), (50,), (50,))),
    "k-means assignment": Case(k_means_assignment, given((200, 2), (5, 2)), smooth=False),
    "convolution by slices": Case(convolution_by_slices, given((100,), (5,))),
    "attention head": Case(attention_head, given((16, 8), (8, 8), (8, 8), (8, 8))),
    "matrix chain": Case(matrix_chain, given((20, 30), (30, 40), (40, 50), (50,))),
    "RNN step": Case(rnn_step, given((4, 16), (4, 8), (8, 16), (16, 16), (16,))),
    "RNN over 20 steps": Case(rnn_scan, given((4, 16), (20, 4, 8), (8, 16), (16, 16), (16,)), smooth=False),
}


# ---------------------------------------------------------------- the libraries


def chainrule() -> Library:
    import chainrule as cr

    def hvp(f, x, v):
        return cr.jvp(cr.grad(f), (x,), (v,))[1]

    return Library(numpy, cr.jit, cr.grad, hvp, cr.scan, lambda a: a, lambda result: result)


def jax() -> Library:
    import jax
    import jax.numpy as jnp

    def hvp(f, x, v):
        return jax.jvp(jax.grad(f), (x,), (v,))[1]

    return Library(jnp, jax.jit, jax.grad, hvp, jax.lax.scan, jnp.asarray, jax.block_until_ready)


def torch(compiled: bool = False) -> Library:
    """Eager: a compiled function is then the function itself."""
    import torch

    torch.set_num_threads(1)

    def hvp(f, x, v):
        return torch.func.jvp(torch.func.grad(f), (x,), (v,))[1]

    def scan(step, carry, xs):
        results = []
        for x in xs:
            carry, result = step(carry, x)
            results.append(result)
        return carry, torch.stack(results)

    names = ("sum", "exp", "sqrt", "abs", "where", "mean", "log1p", "tanh", "argmin", "arange", "cumsum", "clip")
    namespace = SimpleNamespace(max=torch.amax, **{name: getattr(torch, name) for name in names})
    jit = torch.compile if compiled else lambda f: f
    return Library(namespace, jit, torch.func.grad, hvp, scan, torch.as_tensor, lambda result: result)


LIBRARIES = {
    "chainrule": chainrule,
    "jax": jax,
    "torch": torch,
    "torch_compile": lambda: torch(compiled=True),
}


def mapped(convert: Callable[[Any], Any], tree: Any) -> Any:
    """Nested arrays converted one by one."""
    if isinstance(tree, dict):
        return {k: mapped(convert, v) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(mapped(convert, v) for v in tree)
    return convert(tree)


def seconds(lib: Library, call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    lib.wait(call())
    return time.perf_counter() - start


def measure(lib: Library, case: Case) -> dict[str, float]:
    """Times of one case in this process, which has not seen it before."""
    args = [mapped(lib.array, a) for a in case.arguments()]
    lib.wait(lib.jit(lambda x: x + 1)(args[-1]))

    def function(*args):
        return case.function(lib, *args)

    def scalar(*args):
        return lib.np.sum(function(*args))

    def product(x):
        return lib.hvp(function, x, lib.np.sqrt(x**2 + 1))

    def compiled():
        wanted = {"value": function, "gradient": lib.grad(function), "Hessian product": product}[case.compiled]
        return lib.jit(wanted)(*args)

    result = {"first": seconds(lib, compiled)}
    if case.smooth:
        plain = scalar if case.compiled == "value" else function
        result["gradient"] = [seconds(lib, lambda: lib.grad(plain)(*args)) for _ in range(2)][-1]
    return result


if __name__ == "__main__":
    name, case = sys.argv[1:]
    print(json.dumps(measure(LIBRARIES[name](), CASES[case])))
