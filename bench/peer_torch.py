"""PyTorch: the usual eager loop with fused optimizers and channels last, or a whole step compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from workloads import Workload, burgers

EPSILON = 1e-7  # Keras's default in Adam, given to all


class Operations:
    """A network's operations. Weights are stored as PyTorch's layers store them: see :func:`weights_of`."""

    def __init__(self, weights: list[Any], stats: list[Any]) -> None:
        self._weights, self._stats = iter(weights), iter(stats)

    relu, tanh = staticmethod(torch.relu), staticmethod(torch.tanh)

    def dense(self, x: Any, units: int) -> Any:
        return functional.linear(x, next(self._weights), next(self._weights))

    def conv(self, x: Any, filters: int, window: int, stride: int = 1, padding: str = "same",
             bias: bool = True) -> Any:
        kernel, offset = next(self._weights), next(self._weights) if bias else None
        pad = (window - 1) // 2 if padding == "same" else 0
        return functional.conv2d(x, kernel, offset, stride, pad)

    def lstm(self, x: Any, units: int) -> Any:
        """The operation behind torch.nn.LSTM, with one bias."""
        kernel, recurrent, bias = (next(self._weights) for _ in range(3))
        zeros = x.new_zeros(1, x.shape[0], units)
        flat = [kernel, recurrent, bias, torch.zeros_like(bias)]
        return torch.lstm(x, (zeros, zeros), flat, True, 1, 0.0, True, False, True)[1][0]

    def batch_norm(self, x: Any) -> Any:
        mean, variance = next(self._stats), next(self._stats)
        return functional.batch_norm(x, mean, variance, next(self._weights), next(self._weights), True, 0.1, 1e-5)

    def max_pool(self, x: Any) -> Any:
        return functional.max_pool2d(x, 2)

    def global_avg_pool(self, x: Any) -> Any:
        return functional.adaptive_avg_pool2d(x, 1).flatten(1)

    def flatten(self, x: Any) -> Any:
        return x.flatten(1)

    def dropout(self, x: Any, rate: float) -> Any:
        return functional.dropout(x, rate, True)


def weights_of(work: Workload) -> list[torch.Tensor]:
    """The workload's parameters in PyTorch's layout: (out, in), and kernels channels last."""
    found = []
    for weight, value in zip(work.declared.weights, work.parameters(), strict=True):
        tensor = torch.tensor(value)
        if weight.kind == "dense":
            tensor = tensor.T.contiguous()
        elif weight.kind == "kernel":
            tensor = tensor.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
        found.append(tensor)
    return found


def statistics(work: Workload) -> list[torch.Tensor]:
    return [start(n) for n in work.declared.channels for start in (torch.zeros, torch.ones)]


def double_backward(f: Callable[[Any], Any], x: Any) -> tuple[Any, ...]:
    """f, its derivatives along both axes, and the second one along the last: in reverse mode, twice."""
    x = x.requires_grad_()
    u = f(x)
    first = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
    second = torch.autograd.grad(first[:, 1].sum(), x, create_graph=True)[0]
    return u, first[:, :1], first[:, 1:], second[:, 1:]


def double_gradient(f: Callable[[Any], Any], x: Any) -> tuple[Any, ...]:
    """The same as transformations, which can be compiled."""
    def first(x: Any) -> Any:
        return torch.func.grad(lambda x: f(x).sum())(x)
    by = first(x)
    second = torch.func.grad(lambda x: first(x)[:, 1].sum())(x)
    return f(x), by[:, :1], by[:, 1:], second[:, 1:]


def loss_of(work: Workload, stats: list[Any], jets: Callable[..., Any]) -> Callable[..., Any]:
    """``loss(weights, x, y) -> (loss, right answers)``; running statistics change in place."""
    def loss(weights: list[Any], x: Any, y: Any) -> Any:
        if work.loss == "burgers":
            u, *rest = jets(lambda x: work.net(Operations(weights, stats), x), x)
            return burgers(u, *rest).square().mean() + (u - y).square().mean(), torch.zeros(())
        z = work.net(Operations(weights, stats), x)
        if work.loss == "mse":
            return functional.mse_loss(z, y), torch.zeros(())
        if work.loss == "binary":
            return functional.binary_cross_entropy_with_logits(z, y), ((z > 0) == y).sum()
        return functional.cross_entropy(z, y), (z.argmax(1) == y).sum()
    return loss


def data_of(work: Workload) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = map(torch.tensor, work.arrays())
    if x.ndim == 4:  # stored channels last, as it comes
        x = x.permute(0, 3, 1, 2)
    return x, y if work.loss == "softmax" else y.float()


def epochs_of(work: Workload, step: Callable[..., None]) -> Callable[[int], list[float]]:
    """The loop over epochs and batches around a step that adds up loss and right answers."""
    x, y = data_of(work)

    def train(epochs: int) -> list[float]:
        losses = []
        for _ in range(epochs):
            loss_sum, right = torch.zeros(()), torch.zeros(())
            for rows in torch.randperm(work.rows).split(work.batch):
                step(x[rows], y[rows], loss_sum, right)
            losses.append(loss_sum.item() / work.steps)
        return losses

    return train


def eager(work: Workload, threads: int) -> Callable[[int], list[float]]:
    torch.set_num_threads(threads)
    weights, rate = [w.requires_grad_() for w in weights_of(work)], work.learning_rate
    loss = loss_of(work, statistics(work), double_backward)
    if work.optimizer == "adam":
        optimizer: Any = torch.optim.Adam(weights, lr=rate, eps=EPSILON, fused=True)
    else:
        optimizer = torch.optim.SGD(weights, lr=rate, momentum=0.9 * (work.optimizer == "momentum"), fused=True)

    def step(x: Any, y: Any, loss_sum: Any, right: Any) -> None:
        optimizer.zero_grad()
        value, hits = loss(weights, x, y)
        value.backward()
        optimizer.step()
        with torch.no_grad():
            loss_sum += value
            right += hits

    return epochs_of(work, step)


def compiled(work: Workload, threads: int) -> Callable[[int], list[float]]:
    """Forward, backward and update as one compiled function: far faster than compiling a model's parts."""
    torch.set_num_threads(threads)
    torch.compiler.reset()  # of other workloads' steps, after which it would compile for any shape
    weights, rate = weights_of(work), work.learning_rate
    loss = loss_of(work, statistics(work), double_gradient)
    m, v = ([torch.zeros_like(w) for w in weights] for _ in range(2))
    t = torch.zeros(())

    @torch.compile
    def step(x: Any, y: Any, loss_sum: Any, right: Any) -> None:
        grads, (value, hits) = torch.func.grad_and_value(loss, has_aux=True)(weights, x, y)
        if work.optimizer == "adam":
            t.add_(1)
            scale = rate * torch.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            for p, mean, square, g in zip(weights, m, v, grads, strict=True):
                mean.lerp_(g, 0.1)
                square.lerp_(g * g, 0.001)
                p.sub_(scale * mean / (square.sqrt() + EPSILON))
        else:
            for p, change, g in zip(weights, m, grads, strict=True):
                if work.optimizer == "momentum":
                    change.mul_(0.9).sub_(rate * g)
                    p.add_(change)
                else:
                    p.sub_(rate * g)
        loss_sum += value
        right += hits

    return epochs_of(work, torch.no_grad()(step))


