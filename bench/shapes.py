"""Operations of random kinds and sizes beside PyTorch: where are kernels slow that no one looked at?

Each case is one operation of random kind and sizes, forward, and forward and backward; both libraries on one thread,
PyTorch eagerly on the layout it likes best (channels last). Results are compared, too. Cases of a few microseconds
measure what a call costs rather than kernels; so only those that take ours longer than ``--least`` are counted.

    python bench/shapes.py                     # 8 of each kind
    python bench/shapes.py --many 30 --seed 7 --kinds conv2d pool
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Callable
from statistics import geometric_mean
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # as everyone calls it
from harness import new_table, show

import chainrule as cr
from chainrule import nn

LARGEST = 3e8  # multiply-adds of a case, and a hundredth of that in elements


class Case(NamedTuple):
    """One function in both libraries; ``peer`` gets tensors made of the same arrays by ``tensors``."""

    name: str
    ours: Callable[..., Any]
    peer: Callable[..., Any]
    arrays: tuple[np.ndarray, ...]
    tensors: tuple[torch.Tensor, ...]


class Draw:
    """Draws sizes and numbers."""

    def __init__(self, seed: int) -> None:
        self.random, self.rng = random.Random(seed), np.random.default_rng(seed)

    def size(self, least: int, most: int) -> int:
        """Evenly in the logarithm."""
        return round(math.exp(self.random.uniform(math.log(least), math.log(most))))

    def sizes(self, many: tuple[int, int], least: int, most: int) -> list[int]:
        """Extents of one array of modest size."""
        while True:
            found = [self.size(least, most) for _ in range(self.random.randint(*many))]
            if 1000 <= math.prod(found) <= LARGEST / 100:
                return found

    def array(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape).astype(np.float32)


def case(name: str, ours: Callable[..., Any], peer: Callable[..., Any], *arrays: np.ndarray) -> Case:
    return Case(name, ours, peer, arrays, tuple(map(torch.from_numpy, arrays)))


def product(d: Draw) -> Case:
    m, k, n = (d.size(1, 900) for _ in range(3))
    return case(f"({m}, {k}) @ ({k}, {n})", lambda a, b: a @ b, torch.matmul, d.array(m, k), d.array(k, n))


def products(d: Draw) -> Case:
    q, m, k, n = d.size(2, 40), *(d.size(1, 200) for _ in range(3))
    return case(f"({q}, {m}, {k}) @ ({q}, {k}, {n})", lambda a, b: a @ b, torch.matmul, d.array(q, m, k),
                d.array(q, k, n))


def dense(d: Draw) -> Case:
    m, k, n = d.size(4, 300), d.size(2, 1500), d.size(2, 1500)
    return case(f"relu(({m}, {k}) @ ({k}, {n}) + b)", lambda x, w, b: nn.relu(x @ w + b),
                lambda x, w, b: F.relu(torch.addmm(b, x, w)), d.array(m, k), d.array(k, n), d.array(n))


def convolution(d: Draw, axes: int, grouped: bool = False) -> Case:
    """Any of them: ``grouped`` in groups, one of which may be a channel."""
    while True:
        rows, extent = d.size(1, 32), d.size(5, {1: 1000, 2: 64, 3: 24}[axes])
        window, stride, dilation = (d.random.choice(c) for c in ((1, 3, 3, 5, 7), (1, 1, 2), (1, 1, 2)))
        groups = d.size(2, 128) if grouped else 1
        deep = grouped and d.random.random() < 0.5
        inside, outside = (1, 1) if deep else (d.size(1, 128 // groups or 1), d.size(1, 128 // groups or 1))
        work = rows * (extent / stride)**axes * groups * inside * outside * window**axes
        if work < LARGEST and (window - 1) * dilation < extent and extent**axes * rows * groups * inside < LARGEST / 50:
            break
    pad = (window - 1) * dilation // 2
    x, kernel = d.array(rows, *[extent] * axes, groups * inside), d.array(*[window] * axes, inside, groups * outside)
    formats = {2: torch.channels_last, 3: torch.channels_last_3d}
    weights = torch.from_numpy(kernel).permute(axes + 1, axes, *range(axes))
    weights = weights.contiguous(memory_format=formats[axes]) if axes in formats else weights.contiguous()
    function = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
    found = case(f"{rows} of {extent}^{axes}, {groups} × ({inside} → {outside}), window {window}, stride {stride}, "
                 f"dilation {dilation}", lambda x, k: nn.conv(x, k, stride, pad, dilation, groups),
                 lambda x, k: function(x.movedim(-1, 1), k, None, stride, pad, dilation, groups).movedim(1, -1),
                 x, kernel)
    return found._replace(tensors=(found.tensors[0], weights))


def transposed(d: Draw) -> Case:
    while True:
        rows, extent, inside, outside = d.size(1, 32), d.size(3, 32), d.size(1, 64), d.size(1, 64)
        window, stride = d.random.choice((2, 3, 4, 5)), d.random.choice((1, 2, 2, 3))
        if window >= stride and rows * extent**2 * inside * outside * window**2 < LARGEST:
            break
    x, kernel = d.array(rows, extent, extent, inside), d.array(window, window, outside, inside)
    weights = torch.from_numpy(kernel).permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
    found = case(f"{rows} of {extent}², {inside} → {outside}, window {window}, stride {stride}",
                 lambda x, k: nn.conv_transpose(x, k, stride, "valid"),
                 lambda x, k: F.conv_transpose2d(x.movedim(-1, 1), k, None, stride).movedim(1, -1), x, kernel)
    return found._replace(tensors=(found.tensors[0], weights))


def pool(d: Draw) -> Case:
    rows, extent, channels = d.size(1, 24), d.size(6, 56), d.size(1, 64)
    window = d.random.choice((2, 2, 3))
    stride, kind = d.random.choice((window, 1, 2)), d.random.choice(("max", "avg"))
    ours, theirs = getattr(nn, f"{kind}_pool"), getattr(F, f"{kind}_pool2d")
    return case(f"{kind}, {rows} of {extent}² × {channels}, window {window}, stride {stride}",
                lambda x: ours(x, window, stride), lambda x: theirs(x.movedim(-1, 1), window, stride).movedim(1, -1),
                d.array(rows, extent, extent, channels))


def reduction(d: Draw) -> Case:
    shape, kind = d.sizes((1, 4), 1, 200), d.random.choice(("sum", "mean", "max", "var"))
    axes = tuple(sorted(d.random.sample(range(len(shape)), d.random.randint(1, len(shape)))))
    theirs = {"max": torch.amax, "var": lambda x, axes: torch.var(x, axes, correction=0), "sum": torch.sum,
              "mean": torch.mean}[kind]
    return case(f"{kind} of {tuple(shape)} over {axes}", lambda x: getattr(np, kind)(x, axis=axes),
                lambda x: theirs(x, axes), d.array(*shape))


def softmax(d: Draw) -> Case:
    shape, kind = d.sizes((1, 3), 1, 300), d.random.choice(("softmax", "log_softmax"))
    axis = d.random.randrange(len(shape))
    return case(f"{kind} of {tuple(shape)} along {axis}", lambda x: getattr(nn, kind)(x, axis=axis),
                lambda x: getattr(F, kind)(x, axis), d.array(*shape))


def layer_norm(d: Draw) -> Case:
    rows, n = d.sizes((2, 2), 2, 3000)
    return case(f"layer_norm of ({rows}, {n})", lambda x, s, o: nn.layer_norm(x, s, o, epsilon=1e-5),
                lambda x, s, o: F.layer_norm(x, (n,), s, o, 1e-5), d.array(rows, n), d.array(n), d.array(n))


def batch_norm(d: Draw) -> Case:
    rows, extent, channels = d.size(2, 48), d.size(1, 32), d.size(1, 128)
    return case(f"batch_norm of {rows} × {extent}² × {channels}",
                lambda x, s, o: nn.batch_norm(x, *nn.moments(x, (0, 1, 2)), s, o, epsilon=1e-5),
                lambda x, s, o: F.batch_norm(x.movedim(-1, 1), None, None, s, o, True, 0.1, 1e-5).movedim(1, -1),
                d.array(rows, extent, extent, channels), d.array(channels), d.array(channels))


def embedding(d: Draw) -> Case:
    rows, n, many = d.size(10, 20000), d.size(1, 128), d.size(10, 4000)
    return case(f"{many} rows of ({rows}, {n})", lambda i, t: nn.embedding(i, t), F.embedding,
                d.rng.integers(0, rows, many), d.array(rows, n))


def attention(d: Draw) -> Case:
    rows, heads, n, width = d.size(1, 16), d.size(1, 8), d.size(4, 256), d.size(4, 96)
    causal = d.random.random() < 0.5
    return case(f"{rows} × {n}, {heads} heads of {width}{', causal' * causal}",
                lambda q, k, v: nn.dot_product_attention(q, k, v, causal=causal),
                lambda *qkv: F.scaled_dot_product_attention(*(t.transpose(1, 2) for t in qkv),
                                                            is_causal=causal).transpose(1, 2),
                *(d.array(rows, n, heads, width) for _ in range(3)))


def elementwise(d: Draw) -> Case:
    kind = d.random.choice(("tanh", "sigmoid", "exp", "silu", "softplus", "sin", "sqrt"))
    shape = d.sizes((1, 3), 1, 300)
    ours = getattr(nn, kind, None) or getattr(np, kind)
    theirs = getattr(torch, kind, None) or getattr(F, kind)
    lift = np.abs if kind == "sqrt" else np.asarray
    return case(f"{kind} of {tuple(shape)}", ours, theirs, lift(d.array(*shape)))


def cumulative(d: Draw) -> Case:
    shape = d.sizes((1, 3), 2, 400)
    axis = d.random.randrange(len(shape))
    return case(f"cumsum of {tuple(shape)} along {axis}", lambda x: np.cumsum(x, axis=axis),
                lambda x: torch.cumsum(x, axis), d.array(*shape))


def transposition(d: Draw) -> Case:
    shape = d.sizes((2, 4), 2, 120)
    order = d.random.sample(range(len(shape)), len(shape))
    return case(f"{tuple(shape)} in the order {tuple(order)}", lambda x: np.transpose(x, order) * 1.5,
                lambda x: (x.permute(order) * 1.5).contiguous(), d.array(*shape))


def sort(d: Draw) -> Case:
    rows, n = d.size(1, 200), d.size(8, 2000)
    return case(f"sort of ({rows}, {n})", lambda x: np.sort(x, axis=1), lambda x: torch.sort(x, dim=1)[0],
                d.array(rows, n))


KINDS: dict[str, Callable[[Draw], Case]] = {
    "product": product, "products": products, "dense": dense,
    "conv1d": lambda d: convolution(d, 1), "conv2d": lambda d: convolution(d, 2), "conv3d": lambda d: convolution(d, 3),
    "grouped": lambda d: convolution(d, 2, True), "transposed": transposed, "pool": pool, "reduction": reduction,
    "softmax": softmax, "layer_norm": layer_norm, "batch_norm": batch_norm, "embedding": embedding,
    "attention": attention, "elementwise": elementwise, "cumulative": cumulative, "transposition": transposition,
    "sort": sort,
}


def forward(c: Case) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Both libraries' calls."""
    def peer() -> Any:
        with torch.no_grad():
            return c.peer(*c.tensors)
    return cr.jit(c.ours).bind(*c.arrays), peer


def backward(c: Case, out: np.ndarray) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The calls that compute the gradients of all floats, too."""
    given = [k for k, a in enumerate(c.arrays) if a.dtype == np.float32]
    cotangent = np.random.default_rng(0).standard_normal(out.shape).astype(np.float32)[...]

    def pulled(*arrays: Any) -> Any:
        def f(*chosen: Any) -> Any:
            mixed = list(arrays[:-1])
            for k, a in zip(given, chosen, strict=True):
                mixed[k] = a
            return c.ours(*mixed)
        return cr.vjp(f, *(arrays[k] for k in given))[1](arrays[-1])
    tensors = [t.detach().requires_grad_() if k in given else t for k, t in enumerate(c.tensors)]
    wanted, back = [tensors[k] for k in given], torch.from_numpy(cotangent)
    return (cr.jit(pulled).bind(*c.arrays, cotangent),
            lambda: torch.autograd.grad(c.peer(*tensors), wanted, back))


def seconds(calls: tuple[Callable[[], Any], ...], budget: float) -> list[float]:
    """The fastest of many calls of each, in turn."""
    fastest = []
    for call in calls:
        call()
        fastest.append(math.inf)
    end = time.perf_counter() + budget
    while time.perf_counter() < end:
        for k, call in enumerate(calls):
            stop = time.perf_counter() + budget / 10
            while True:
                begin = time.perf_counter()
                call()
                now = time.perf_counter()
                fastest[k] = min(fastest[k], now - begin)
                if now > stop:
                    break
    return fastest


def compared(c: Case) -> np.ndarray:
    """Our result; an error if PyTorch's differs."""
    ours, theirs = np.asarray(cr.jit(c.ours)(*c.arrays)), forward(c)[1]().numpy()
    limit = 1e-3 * max(1.0, float(np.abs(theirs).max()))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=limit, err_msg=c.name)
    return ours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--many", type=int, default=8, help="cases of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--least", type=float, default=20.0, help="microseconds that a case must take ours to count")
    parser.add_argument("--budget", type=float, default=0.15, help="seconds for each case")
    options = parser.parse_args()
    cr.set_threads(1)
    torch.set_num_threads(1)
    table = new_table("PyTorch's time over ours, random shapes", "cases", "mean", "least", "of")
    factors: list[float] = []
    refused: list[str] = []
    for kind in options.kinds:
        draw, found = Draw(options.seed), []
        for _ in range(options.many):
            c = KINDS[kind](draw)
            out = compared(c)
            for pass_, calls in (("", forward(c)), (", with gradients", backward(c, out))):
                try:
                    calls[1]()
                except RuntimeError as error:  # some kernels of PyTorch's refuse gradients of channels that lie last
                    refused.append(f"PyTorch, {c.name}{pass_}: {str(error).splitlines()[0]}")
                    continue
                ours, theirs = seconds(calls, options.budget)
                if ours * 1e6 >= options.least:
                    found.append((theirs / ours, c.name + pass_))
        if found:
            worst = min(found)
            factors += (own := [f for f, _ in found])
            table.add_row(kind, str(len(found)), f"{geometric_mean(own):.2f}", f"{worst[0]:.2f}", worst[1])
    notes = [f"PyTorch {torch.__version__}, eager", *refused]
    if factors:
        notes.append(f"geometric mean of {len(factors)} {geometric_mean(factors):.2f}, least {min(factors):.2f}")
    show(table, notes)


if __name__ == "__main__":
    main()
