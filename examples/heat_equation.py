"""A physics-informed network: the heat equation u_t = u_xx, learned from the equation alone.

The network u(x, t) is trained at 1,024 points of 0 ≤ x ≤ π, 0 ≤ t ≤ 1 to satisfy the equation, with u(x, 0) = sin x
and u = 0 at both ends. No solution is shown to it; the exact one, sin(x)·exp(-t), judges it at the end.

The loss contains derivatives of the network by its *inputs*: u_t is a first derivative, u_xx a derivative of a
derivative. Training differentiates that loss by the *weights*: three levels of differentiation, and the whole loop is
compiled to one native program.

Source: Raissi, Perdikaris and Karniadakis, "Physics-informed neural networks", J. Comp. Phys. 378 (2019).
"""

import time

import numpy as np
from rich.console import Console

import chainrule as cr

POINTS, WIDTH, STEPS = 1024, 24, 4000


def network(params, x, t):
    """u(x, t) for one point."""
    h = np.stack([x, t])
    for w, b in params[:-1]:
        h = np.tanh(h @ w + b)
    w, b = params[-1]
    return (h @ w + b)[0]


def residual(params, x, t):
    """u_t - u_xx at one point: 0 for a solution."""
    u_t = cr.grad(network, 2)(params, x, t)
    u_xx = cr.grad(cr.grad(network, 1), 1)(params, x, t)
    return u_t - u_xx


def loss(params, inside, start, ends):
    """The mean squares of the residual, of the error at t = 0, and of u at the ends."""
    equation = cr.vmap(residual, (None, 0, 0))(params, inside[:, 0], inside[:, 1])
    u = cr.vmap(network, (None, 0, 0))
    at_start = u(params, start[:, 0], start[:, 1]) - np.sin(start[:, 0])
    at_ends = u(params, ends[:, 0], ends[:, 1])
    return np.mean(equation**2) + np.mean(at_start**2) + np.mean(at_ends**2)


def data(rng):
    """Points inside, at t = 0, and at both ends."""
    inside = rng.uniform((0, 0), (np.pi, 1), (POINTS, 2))
    start = np.stack([np.linspace(0, np.pi, 64), np.zeros(64)], axis=1)
    t = np.linspace(0, 1, 32)
    ends = np.concatenate([np.stack([np.full(32, x), t], axis=1) for x in (0.0, np.pi)])
    return inside, start, ends


def initial(rng):
    """Weights by Glorot's rule, biases 0."""
    sizes = (2, WIDTH, WIDTH, 1)
    return [(rng.normal(size=(n, m)) * np.sqrt(2 / (n + m)), np.zeros(m))
            for n, m in zip(sizes[:-1], sizes[1:], strict=True)]


def train(steps=STEPS, seed=0):
    """The trained weights and the result of the minimization."""
    rng = np.random.default_rng(seed)
    return cr.minimize(loss, initial(rng), cr.optimizers.Adam(3e-3), max_steps=steps, args=data(rng))


def error(params):
    """The largest difference from the exact solution on a grid."""
    x, t = (g.ravel() for g in np.meshgrid(np.linspace(0, np.pi, 41), np.linspace(0, 1, 21)))
    u = cr.jit(cr.vmap(network, (None, 0, 0)))(params, x, t)
    return float(np.max(np.abs(u - np.sin(x) * np.exp(-t))))


if __name__ == "__main__":
    console = Console()
    started = time.perf_counter()
    result = train()
    seconds = time.perf_counter() - started
    console.print(f"{STEPS:,} steps over {POINTS:,} points in {seconds:.1f} s, compiling included: "
                  f"{seconds / STEPS * 1e6:.0f} µs a step")
    console.print(f"loss {result.fun:.2e}; largest error against sin(x)·exp(-t): {error(result.x):.1e}")
