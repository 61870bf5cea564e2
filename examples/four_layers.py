"""Backpropagation through a four-layer network, by hand and by `cr.grad`; then training with the gradients.

The network has 4 inputs, two hidden layers and one output. A row of x goes through it as

    z² = x W¹ + b¹    a² = f(z²)    z³ = a² W² + b²    a³ = f(z³)    s = a³ W³ + b³

with f = tanh, and C is half the squared difference of s and y, averaged over the rows. By hand, the chain
rule goes backwards through the local gradients δ, those of C with respect to s, z³ and z²:

    δ⁴ = (s - y) / rows    δ³ = δ⁴ W³ᵀ ⊙ f'(z³)    δ² = δ³ W²ᵀ ⊙ f'(z²)
    ∂C/∂Wˡ = (aˡ)ᵀ δˡ⁺¹    ∂C/∂bˡ = sum of δˡ⁺¹ over the rows    (a¹ = x)

`cr.explain` writes the same equations out with their numbers, and ∂C/∂w²₂₂ as the product along its path.

Backpropagation ends there. What is done with the gradients is the optimizer's business: `cr.minimize`.
"""

import numpy as np
from rich.console import Console
from rich.table import Table

import chainrule as cr

SIZES = (4, 5, 3, 1)
AGREEMENT = 1e-12
NAMES = {f"params['{kind}'][{k}]": letter + "¹²³"[k] for kind, letter in (("weights", "W"), ("biases", "b"))
         for k in range(3)} | {"z2": "z²", "a2": "a²", "z3": "z³", "a3": "a³"}


def forward(params, x):
    """All that the formulas name: z², a², z³, a³ and s."""
    (w1, w2, w3), (b1, b2, b3) = params["weights"], params["biases"]
    z2 = x @ w1 + b1
    a2 = np.tanh(z2)
    z3 = a2 @ w2 + b2
    a3 = np.tanh(z3)
    s = a3 @ w3 + b3
    return z2, a2, z3, a3, s


def cost(params, x, y):
    """C: half the squared error of the output, averaged over the rows."""
    *_, s = forward(params, x)
    return np.mean((s - y) ** 2) / 2


def gradients_by_hand(params, x, y):
    """The local-gradient formulas written out; the same nesting as the parameters."""
    _, w2, w3 = params["weights"]
    z2, a2, z3, a3, s = forward(params, x)
    delta4 = (s - y) / len(x)
    delta3 = delta4 @ w3.T * tanh_slope(z3)
    delta2 = delta3 @ w2.T * tanh_slope(z2)
    return {
        "weights": [x.T @ delta2, a2.T @ delta3, a3.T @ delta4],
        "biases": [delta2.sum(0), delta3.sum(0), delta4.sum(0)],
    }


def tanh_slope(z):
    return 1 - np.tanh(z) ** 2


def initial_parameters(rng):
    pairs = list(zip(SIZES[:-1], SIZES[1:], strict=True))
    return {
        "weights": [rng.normal(size=pair) / np.sqrt(pair[0]) for pair in pairs],
        "biases": [rng.normal(size=outputs) / 10 for _, outputs in pairs],
    }


def data(rng, rows=64):
    """Rows of four numbers, and a smooth function of them to learn."""
    x = rng.uniform(-1, 1, (rows, SIZES[0]))
    return x, np.sin(x[:, :1] + x[:, 1:2]) * x[:, 2:3] - x[:, 3:] / 2


def comparison(computed, by_hand):
    """A table of both gradients, and the largest difference between them."""
    table = Table(title="Gradients of C, float64", title_justify="left")
    for heading in ("", "shape", "first, cr.grad", "first, by hand", "largest difference"):
        table.add_column(heading, justify="right")
    worst = 0.0
    for kind, letter in (("weights", "W"), ("biases", "b")):
        for layer, (ours, hand) in enumerate(zip(computed[kind], by_hand[kind], strict=True)):
            difference = np.abs(ours - hand).max()
            worst = max(worst, difference)
            first = (f"{gradient.flat[0]:+.12f}" for gradient in (ours, hand))
            table.add_row(f"∂C/∂{letter}{'¹²³'[layer]}", str(hand.shape), *first, f"{difference:.1e}")
    return table, worst


def main():
    console = Console()
    rng = np.random.default_rng(0)
    params = initial_parameters(rng)
    x, y = data(rng)

    value, gradients = cr.value_and_grad(cost)(params, x, y)
    table, worst = comparison(gradients, gradients_by_hand(params, x, y))
    console.print(f"C = {value:.6f} before training")
    console.print(table)
    if worst > AGREEMENT:
        raise SystemExit(f"cr.grad and the formulas differ by {worst:.1e}, more than {AGREEMENT:.0e}")
    console.print(f"cr.grad and the formulas agree to {AGREEMENT:.0e}.\n")

    console.print("The chain rule for one row and the weight w²₂₂ (counted from 0: W²[1, 1]):\n")
    console.print(cr.explain(cost, (params, x[:1], y[:1]), wrt="params['weights'][1][1, 1]", names=NAMES))

    result = cr.minimize(
        lambda p: cost(p, x, y), params, optimizer=cr.optimizers.SGD(0.1), max_steps=100_000, tolerance=1e-3
    )
    console.print(f"Trained: C = {result.fun:.6f} after {result.steps:,} steps. Stopped by: {result.reason}")


if __name__ == "__main__":
    main()
