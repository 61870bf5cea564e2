"""A character transformer: time per training step in the steady state, beside the peers.

Two pre-norm GPT blocks (width 128, 4 heads, causal, MLP of 4 × with gelu), context 64, vocabulary 65, batch 16, AdamW.
A step includes the choice of 16 windows of the text. Ours is made of functions of ``chainrule.nn``; the peers use
their own, at their best: fused attention and optimizer in PyTorch, the epoch as one scan in JAX.

python bench/transformer.py            # the table
python bench/transformer.py PEER       # one peer in this process, which waits for what turns.py asks
python bench/transformer.py --profile  # time of each statement of our step
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import statements
from harness import CONSOLE, machine_peak, parser, show, start_peer, unavailable, use_processors
from peers import peak_memory
from steps import QUICK, THOROUGH, reported, step_table
from turns import in_turn, running, serve

VOCABULARY, CONTEXT, WIDTH, HEADS, LAYERS, BATCH = 65, 64, 128, 4, 2, 16
RATE, DECAY = 1e-3, 0.004
NAMES = ("chainrule", "jax_scan", "torch", "torch_compile")


@dataclass(frozen=True)
class Work:
    """What is trained."""

    title: str = "Character transformer: 2 layers, width 128, 4 heads, context 64, vocabulary 65, AdamW, batch 16"
    steps: int = 20

    @property
    def flops(self) -> int:
        """Products of a step with weights (forward and twice backward) and of the attention."""
        weights = LAYERS * 12 * WIDTH * WIDTH + WIDTH * VOCABULARY
        attention = LAYERS * 2 * CONTEXT * WIDTH
        return 3 * 2 * BATCH * CONTEXT * (weights + attention)

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """A text of letters that follow from the ones before, and the starts of the windows of an epoch's steps."""
        rng = np.random.default_rng(0)
        text = (np.cumsum(rng.integers(0, 3, 100_000)) % VOCABULARY).astype(np.int32)
        return text, rng.integers(0, text.size - CONTEXT - 1, (self.steps, BATCH)).astype(np.int32)

    def parameters(self) -> dict[str, np.ndarray]:
        """Small normal matrices (inputs, outputs), zero biases, unit scales."""
        rng, found = np.random.default_rng(1), {}

        def dense(name: str, inputs: int, outputs: int) -> None:
            found[f"{name}.w"] = rng.normal(0, 0.02, (inputs, outputs))
            found[f"{name}.b"] = np.zeros(outputs)

        def norm(name: str) -> None:
            found[f"{name}.scale"], found[f"{name}.offset"] = np.ones(WIDTH), np.zeros(WIDTH)
        found["token"] = rng.normal(0, 0.02, (VOCABULARY, WIDTH))
        found["place"] = rng.normal(0, 0.02, (CONTEXT, WIDTH))
        for k in range(LAYERS):
            norm(f"{k}.before")
            dense(f"{k}.qkv", WIDTH, 3 * WIDTH)
            dense(f"{k}.out", WIDTH, WIDTH)
            norm(f"{k}.between")
            dense(f"{k}.up", WIDTH, 4 * WIDTH)
            dense(f"{k}.down", 4 * WIDTH, WIDTH)
        norm("last")
        dense("head", WIDTH, VOCABULARY)
        return {name: value.astype(np.float32) for name, value in found.items()}


def chainrule(work: Work, threads: int):
    """The epoch as one compiled scan."""
    import chainrule as cr
    from chainrule import losses, nn, tree

    cr.set_threads(threads)
    optimizer = cr.optimizers.AdamW(RATE, DECAY)
    initial = work.parameters()
    shapes = {name: value.shape for name, value in initial.items()}

    def unpack(flat):
        out, at = {}, 0
        for name, shape in shapes.items():
            size = int(np.prod(shape))
            out[name] = flat[at:at + size].reshape(shape)
            at += size
        return out

    def dense(p, name, x):
        return x @ p[f"{name}.w"] + p[f"{name}.b"]

    def norm(p, name, x):
        return nn.layer_norm(x, p[f"{name}.scale"], p[f"{name}.offset"], epsilon=1e-5)

    def logits(p, tokens):
        x = nn.embedding(tokens, p["token"]) + p["place"]
        for k in range(LAYERS):
            qkv = dense(p, f"{k}.qkv", norm(p, f"{k}.before", x)).reshape(BATCH, CONTEXT, 3, HEADS, -1)
            mixed = nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], causal=True)
            x = x + dense(p, f"{k}.out", mixed.reshape(BATCH, CONTEXT, WIDTH))
            x = x + dense(p, f"{k}.down", nn.gelu(dense(p, f"{k}.up", norm(p, f"{k}.between", x))))
        return dense(p, "head", norm(p, "last", x))

    def loss_of(p, window):
        return np.mean(losses.sparse_categorical_crossentropy(window[:, 1:], logits(p, window[:, :-1]), True))

    def epoch(state, text, starts):
        def step(state, start):
            window = np.take(text, start[:, None] + np.arange(CONTEXT + 1, dtype=np.int32), axis=0)
            loss, grads = cr.value_and_grad(loss_of)(unpack(state["params"]), window)
            flat = np.concatenate([grads[name].reshape(-1) for name in shapes])
            params, opt = optimizer.update(state["params"], flat, state["opt"], RATE)
            return {"params": params, "opt": opt}, loss
        state, each = cr.scan(step, state, starts)
        return state, np.mean(each)

    text, starts = work.data()
    params = np.concatenate([value.reshape(-1) for value in initial.values()])
    state = tree.map_leaves(cr.aligned, {"params": params, "opt": optimizer.init(params)})
    run = cr.jit(epoch, donate=(0,)).bind(state, text, starts)

    def train(epochs: int) -> list[float]:
        found = []
        for _ in range(epochs):
            run()
            found.append(float(run.result[1]))
        return found
    train.program = (epoch, {"params": params, "opt": optimizer.init(params)}, text, starts)
    return train


def jax_scan(work: Work, threads: int):  # the environment says how many
    """The epoch as one jitted scan."""
    import jax
    import jax.numpy as jnp

    def dense(p, name, x):
        return x @ p[f"{name}.w"] + p[f"{name}.b"]

    def norm(p, name, x):
        mean = x.mean(-1, keepdims=True)
        variance = jnp.square(x - mean).mean(-1, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * p[f"{name}.scale"] + p[f"{name}.offset"]

    def loss_of(p, window):
        tokens, following = window[:, :-1], window[:, 1:]
        x = p["token"][tokens] + p["place"]
        for k in range(LAYERS):
            qkv = dense(p, f"{k}.qkv", norm(p, f"{k}.before", x)).reshape(BATCH, CONTEXT, 3, HEADS, -1)
            mixed = jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], is_causal=True)
            x = x + dense(p, f"{k}.out", mixed.reshape(BATCH, CONTEXT, WIDTH))
            up = dense(p, f"{k}.up", norm(p, f"{k}.between", x))
            x = x + dense(p, f"{k}.down", jax.nn.gelu(up, approximate=False))
        z = jax.nn.log_softmax(dense(p, "head", norm(p, "last", x)))
        return -jnp.mean(jnp.take_along_axis(z, following[..., None], -1))

    def step(state, start):
        p, m, v, t = state
        window = text[start[:, None] + jnp.arange(CONTEXT + 1)]
        loss, grads = jax.value_and_grad(loss_of)(p, window)
        t = t + 1
        rate = RATE * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        m = jax.tree.map(lambda m, g: m + 0.1 * (g - m), m, grads)
        v = jax.tree.map(lambda v, g: v + 0.001 * (g * g - v), v, grads)
        p = jax.tree.map(lambda p, m, v: p * (1 - RATE * DECAY) - rate * m / (jnp.sqrt(v) + 1e-7), p, m, v)
        return (p, m, v, t), loss

    text, starts = map(jnp.asarray, work.data())
    params = jax.tree.map(jnp.asarray, work.parameters())
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = params, zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros(())
    run_epoch = jax.jit(lambda state, starts: jax.lax.scan(step, state, starts), donate_argnums=0)

    def train(epochs: int) -> list[float]:
        nonlocal state
        found = []
        for _ in range(epochs):
            state, each = run_epoch(state, starts)
            found.append(float(each.mean()))
        return found
    return train


def torch(work: Work, threads: int, compiled: bool = False):
    """Modules' functions on plain parameters, the fused AdamW; ``compiled``: torch.compile around forward and loss."""
    import torch
    from torch.nn import functional as f

    torch.set_num_threads(threads)
    p = {name: torch.tensor(value, requires_grad=True) for name, value in work.parameters().items()}
    for name in p:  # as nn.Linear keeps them
        if name.endswith(".w"):
            p[name] = p[name].detach().T.contiguous().requires_grad_()

    def dense(name, x):
        return f.linear(x, p[f"{name}.w"], p[f"{name}.b"])

    def norm(name, x):
        return f.layer_norm(x, (WIDTH,), p[f"{name}.scale"], p[f"{name}.offset"])

    def loss_of(window):
        x = f.embedding(window[:, :-1], p["token"]) + p["place"]
        for k in range(LAYERS):
            qkv = dense(f"{k}.qkv", norm(f"{k}.before", x)).view(BATCH, CONTEXT, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
            mixed = f.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], is_causal=True)
            x = x + dense(f"{k}.out", mixed.transpose(1, 2).reshape(BATCH, CONTEXT, WIDTH))
            x = x + dense(f"{k}.down", f.gelu(dense(f"{k}.up", norm(f"{k}.between", x))))
        z = dense("head", norm("last", x))
        return f.cross_entropy(z.view(-1, VOCABULARY), window[:, 1:].reshape(-1))

    measured = torch.compile(loss_of) if compiled else loss_of
    optimizer = torch.optim.AdamW(p.values(), lr=RATE, weight_decay=DECAY, eps=1e-7, fused=True)
    text, starts = (torch.tensor(a, dtype=torch.int64) for a in work.data())
    places = torch.arange(CONTEXT + 1)

    def train(epochs: int) -> list[float]:
        found = []
        for _ in range(epochs):
            total = torch.zeros(())
            for start in starts:
                optimizer.zero_grad()
                loss = measured(text[start[:, None] + places])
                loss.backward()
                optimizer.step()
                total += loss.detach()
            found.append(total.item() / work.steps)
        return found
    return train


BUILD: dict[str, Callable] = {"chainrule": chainrule, "jax_scan": jax_scan, "torch": torch,
                              "torch_compile": lambda work, threads: torch(work, threads, compiled=True)}


def profile(work: Work) -> None:
    """The time of each statement of our step, where it stands."""
    function, *args = chainrule(work, 1).program
    statements.show(statements.timed(function, *args, donate=(0,), rounds=25), work.steps, CONSOLE)


def main() -> None:
    add = parser(__doc__)
    add.set_defaults(peers=list(NAMES))
    add.add_argument("--profile", action="store_true", help="the time of each statement of our step instead")
    options = add.parse_args()
    work = Work()
    if options.profile:
        use_processors(options.cpu)
        return profile(work)
    names = [name for name in NAMES if name in options.peers]
    seconds, rounds = QUICK if options.quick else THOROUGH
    for threads in options.threads:
        use_processors(options.cpu, threads)
        notes: list[str] = []
        absent = {name: word for name in names if (word := unavailable(name, options, notes)) is not None}
        start = {name: partial(start_peer, name, threads, "transformer.py") for name in names if name not in absent}
        with running(start) as runners, CONSOLE.status(work.title):
            reports = in_turn(runners, "transformer", seconds, rounds)
        results = {name: absent.get(name) or reported(name, "transformer", reports[name], notes) for name in names}
        peak = machine_peak()
        notes.append(f"of peak: {peak / 1e9:.0f} GFLOP/s of multiply-adds between registers, a processor")
        show(step_table(work, results, peak, threads), notes)


def peer(name: str, arguments: list[str]) -> None:
    """One peer in this process."""
    given, work = argparse.ArgumentParser(), Work()
    given.add_argument("--threads", type=int, default=1)
    given.add_argument("--first-step", metavar="WORKLOAD")
    options = given.parse_args(arguments)
    if options.first_step:
        BUILD[name](replace(work, steps=1), options.threads)(1)
        print(json.dumps({"finished": time.time(), "peak": peak_memory()}), flush=True)
    else:
        serve(lambda _: (work, BUILD[name](work, options.threads)))


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in BUILD:
        peer(sys.argv[1], sys.argv[2:])
    else:
        main()
