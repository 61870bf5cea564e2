"""The peers: each one trains a workload as its users would, on one thread, in a process of its own.

    python peers.py PEER WORKLOAD [--seconds S] [--repeats N]     time per step, steady state
    python peers.py PEER WORKLOAD --first-epoch                   the time at which the first epoch was done

prints JSON. A peer is a function from a workload to `train(epochs)`, which returns the loss of every epoch.
Choices that a user could make in a peer's favour are made: the whole epoch is shuffled at once, the loss is
computed from logits, metrics stay on the device, the optimizer is the fused one.
"""

import argparse
import atexit
import importlib
import json
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
from workloads import WORKLOADS, Workload

Train = Callable[[int], list[float]]

EPSILON = 1e-7  # Keras's default in Adam, given to all
PLAIN_C = Path(__file__).parent / "plain.c"
C_FLAGS = ["-O3", "-march=native", "-ffast-math"]


def keras_api(work: Workload, framework: str) -> Train:
    """Chainrule and Keras: the same script, only the imports differ."""
    models = importlib.import_module(f"{framework}.models")
    layers = importlib.import_module(f"{framework}.layers")
    optimizers = importlib.import_module(f"{framework}.optimizers")
    warnings.filterwarnings("ignore", message="Do not pass an `input_shape`")  # Keras 3 on the Keras 2 script

    inputs, *hidden, outputs = work.sizes
    model = models.Sequential()
    model.add(layers.Dense(hidden[0], input_dim=inputs, activation="relu"))
    for units in hidden[1:]:
        model.add(layers.Dense(units, activation="relu"))
    model.add(layers.Dense(outputs, activation="sigmoid" if work.binary else "softmax"))
    model.compile(
        loss="binary_crossentropy" if work.binary else "sparse_categorical_crossentropy",
        optimizer=optimizers.Adam(learning_rate=work.learning_rate),
        metrics=["accuracy"],
    )
    x, y = work.data()

    def train(epochs: int) -> list[float]:
        return model.fit(x, y, epochs=epochs, batch_size=work.batch, verbose=0).history["loss"]

    return train


def pytorch(work: Workload) -> Train:
    """The usual loop over modules, with the fused Adam."""
    import torch

    x, y, loss_of, correct_of = pytorch_parts(work)
    modules: list[torch.nn.Module] = []
    for w, b in work.parameters():
        linear = torch.nn.Linear(*w.shape)
        linear.weight.data, linear.bias.data = torch.from_numpy(w.T.copy()), torch.from_numpy(b)
        modules += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*modules[:-1])
    optimizer = torch.optim.Adam(model.parameters(), lr=work.learning_rate, eps=EPSILON, fused=True)

    def step(bx, by, loss_sum, correct):
        optimizer.zero_grad()
        z = model(bx)
        loss = loss_of(z, by)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            loss_sum += loss
            correct += correct_of(z, by)

    return pytorch_epochs(work, x, y, step)


def pytorch_compiled(work: Workload) -> Train:
    """Forward, backward and update as one compiled function: far faster than compiling a model's parts."""
    import torch

    x, y, loss_of, correct_of = pytorch_parts(work)
    params = [torch.from_numpy(array) for pair in work.parameters() for array in pair]
    m, v = ([torch.zeros_like(p) for p in params] for _ in range(2))
    t = torch.zeros(())

    def forward(params, bx, by):
        *hidden, w, b = params
        for w1, b1 in zip(hidden[::2], hidden[1::2], strict=True):
            bx = torch.relu(bx @ w1 + b1)
        z = bx @ w + b
        return loss_of(z, by), correct_of(z, by)

    @torch.compile
    def step(bx, by, loss_sum, correct):
        grads, (loss, hits) = torch.func.grad_and_value(forward, has_aux=True)(params, bx, by)
        t.add_(1)
        rate = work.learning_rate * torch.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        for p, mean, square, g in zip(params, m, v, grads, strict=True):
            mean.lerp_(g, 0.1)
            square.lerp_(g * g, 0.001)
            p.sub_(rate * mean / (square.sqrt() + EPSILON))
        loss_sum += loss
        correct += hits

    return pytorch_epochs(work, x, y, torch.no_grad()(step))


def pytorch_parts(work: Workload):
    """Data, loss and number of right answers."""
    import torch

    torch.set_num_threads(1)
    x, y = map(torch.from_numpy, work.data())
    if work.binary:
        return x.float(), y.float(), torch.nn.BCEWithLogitsLoss(), lambda z, y: ((z > 0) == y).sum()
    return x.float(), y, torch.nn.CrossEntropyLoss(), lambda z, y: (z.argmax(1) == y).sum()


def pytorch_epochs(work: Workload, x, y, step) -> Train:
    """The loop over epochs and shuffled batches around a step that adds up loss and right answers."""
    import torch

    def train(epochs: int) -> list[float]:
        losses = []
        for _ in range(epochs):
            order = torch.randperm(work.rows)
            loss_sum, correct = torch.zeros(()), torch.zeros((), dtype=torch.int64)
            for bx, by in zip(x[order].split(work.batch), y[order].split(work.batch), strict=True):
                step(bx, by, loss_sum, correct)
            losses.append(loss_sum.item() / work.steps)
        return losses

    return train


def jax(work: Workload, scanned: bool) -> Train:
    """A jitted step called from Python, or (`scanned`) a jitted epoch: shuffle, `lax.scan` over batches."""
    import jax
    import jax.numpy as jnp

    def loss_of(params, bx, by):
        for w, b in params[:-1]:
            bx = jax.nn.relu(bx @ w + b)
        w, b = params[-1]
        z = bx @ w + b
        if work.binary:
            loss = jnp.mean(jnp.maximum(z, 0) - z * by + jnp.log1p(jnp.exp(-jnp.abs(z))))
            return loss, jnp.sum((z > 0) == (by > 0))
        loss = -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), by[:, None], 1))
        return loss, jnp.sum(jnp.argmax(z, 1) == by)

    def step(state, batch):
        params, m, v, t = state
        (loss, correct), grads = jax.value_and_grad(loss_of, has_aux=True)(params, *batch)
        t = t + 1
        rate = work.learning_rate * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        m = jax.tree.map(lambda m, g: m + 0.1 * (g - m), m, grads)
        v = jax.tree.map(lambda v, g: v + 0.001 * (g * g - v), v, grads)
        params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + EPSILON), params, m, v)
        return (params, m, v, t), (loss, correct)

    def scanned_epoch(state, key):
        order = jax.random.permutation(key, work.rows)
        shuffled = [jnp.asarray(a)[order] for a in (x, y)]
        batches = tuple(a.reshape(work.steps, work.batch, *a.shape[1:]) for a in shuffled)
        state, (losses, correct) = jax.lax.scan(step, state, batches)
        return state, losses.mean(), correct.sum()

    x, y = work.data()
    x, y = x.astype(np.float32), y.astype(np.float32 if work.binary else np.int32)
    params = jax.tree.map(jnp.asarray, work.parameters())
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = params, zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros(())
    run_step = jax.jit(step, donate_argnums=0)
    run_epoch = jax.jit(scanned_epoch, donate_argnums=0)
    rng = np.random.default_rng(0)

    def stepwise_epoch(state, _):
        order = rng.permutation(work.rows)
        shuffled_x, shuffled_y = x[order], y[order]
        metrics = []
        for start in range(0, work.rows, work.batch):
            rows = slice(start, start + work.batch)
            state, batch_metrics = run_step(state, (shuffled_x[rows], shuffled_y[rows]))
            metrics.append(batch_metrics)
        losses, correct = zip(*metrics, strict=True)
        return state, np.mean(losses), np.sum(correct)

    def train(epochs: int) -> list[float]:
        nonlocal state
        losses = []
        for _ in range(epochs):
            key = jax.random.key(rng.integers(2**31))
            state, loss, _ = (run_epoch if scanned else stepwise_epoch)(state, key)
            losses.append(float(loss))
        return losses

    return train


def sklearn(work: Workload) -> Train:
    """MLPClassifier, told to run all its epochs."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore", ConvergenceWarning)
    x, y = work.data()
    x = x.astype(np.float32)

    def train(epochs: int) -> list[float]:
        classifier = MLPClassifier(
            work.sizes[1:-1],
            batch_size=work.batch,
            learning_rate_init=work.learning_rate,
            epsilon=EPSILON,
            alpha=0,
            max_iter=epochs,
            n_iter_no_change=epochs + 1,
        )
        return classifier.fit(x, y.ravel()).loss_curve_

    return train


def plain_c(work: Workload) -> Train:
    """`plain.c`, compiled here; it knows one workload only."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    program, data = Path(folder.name) / "plain", Path(folder.name) / "data"
    subprocess.run(["gcc", *C_FLAGS, str(PLAIN_C), "-o", str(program), "-lm"], check=True)
    arrays = [*work.data(), *(array for pair in work.parameters() for array in pair)]
    data.write_bytes(b"".join(np.ascontiguousarray(a, np.float32).tobytes() for a in arrays))

    def train(epochs: int) -> list[float]:
        arguments = [str(program), str(data), str(epochs), "1"]
        return json.loads(subprocess.run(arguments, check=True, capture_output=True).stdout)["loss"]

    return train


@dataclass(frozen=True)
class Peer:
    """One way to train: how it is called in the tables, what it needs, and how it is built."""

    title: str
    packages: tuple[str, ...]  # distributions; ("gcc",) stands for the compiler
    build: Callable[[Workload], Train]
    environment: tuple[tuple[str, str], ...] = ()

    def version(self) -> str | None:
        """Versions of what it needs, None if something is not installed."""
        if self.packages == ("gcc",):
            return gcc_version()
        try:
            return ", ".join(f"{package} {metadata.version(package)}" for package in self.packages)
        except metadata.PackageNotFoundError:
            return None


def gcc_version() -> str | None:
    if not shutil.which("gcc"):
        return None
    text = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True, check=True).stdout
    return f"gcc {text.strip()} {' '.join(C_FLAGS)}"


PEERS = {
    "chainrule": Peer("Chainrule", ("chainrule",), partial(keras_api, framework="chainrule")),
    "plain_c": Peer("plain C", ("gcc",), plain_c),
    "jax_scan": Peer("JAX, scanned epoch", ("jax",), partial(jax, scanned=True)),
    "jax_step": Peer("JAX, jit per step", ("jax",), partial(jax, scanned=False)),
    "torch": Peer("PyTorch, eager", ("torch",), pytorch),
    "torch_compile": Peer("PyTorch, compiled", ("torch",), pytorch_compiled),
    "sklearn": Peer("scikit-learn", ("scikit-learn",), sklearn),
    "keras": Peer(
        "Keras, TensorFlow",
        ("keras", "tensorflow-cpu"),
        partial(keras_api, framework="keras"),
        (("KERAS_BACKEND", "tensorflow"),),
    ),
    "keras_jax": Peer(
        "Keras, JAX", ("keras", "jax"), partial(keras_api, framework="keras"), (("KERAS_BACKEND", "jax"),)
    ),
}


def time_steps(work: Workload, train: Train, seconds: float, repeats: int) -> dict:
    """Seconds per step of several trainings of about `seconds` each, after one epoch to warm up."""
    first = train(1)[0]
    epochs, elapsed, losses = calibrate(train, seconds)
    timings = []
    for _ in range(repeats):
        elapsed, losses = timed(train, epochs)
        timings.append(elapsed / (epochs * work.steps))
    return {"step_seconds": timings, "loss": [first, losses[-1]]}


def calibrate(train: Train, seconds: float) -> tuple[int, float, list[float]]:
    """Number of epochs that take about `seconds`."""
    epochs = 1
    elapsed, losses = timed(train, epochs)
    while elapsed < seconds / 4:  # a short run says little about a long one
        epochs *= 4
        elapsed, losses = timed(train, epochs)
    return max(1, round(epochs * seconds / elapsed)), elapsed, losses


def timed(train: Train, epochs: int) -> tuple[float, list[float]]:
    start = time.perf_counter()
    losses = train(epochs)
    return time.perf_counter() - start, losses


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--first-epoch", action="store_true")
    options = parser.parse_args()
    work = WORKLOADS[options.workload]
    train = PEERS[options.peer].build(work)
    if options.first_epoch:
        train(1)
        result = {"finished": time.time()}
    else:
        result = time_steps(work, train, options.seconds, options.repeats)
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
