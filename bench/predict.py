"""`predict` on one row beside the compiled function it runs, and beside the peers: microseconds a call.

`python bench/predict.py`, with `--quick` for a glance.
"""

import argparse
import time

import numpy as np

import chainrule as cr
from chainrule.layers import Dense
from chainrule.models import Sequential

WIDTHS = (10, 32, 16, 1)


def best(function, seconds):
    """The fastest of several means, in seconds a call."""
    function()
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < 0.02:
        function()
        count += 1
    fastest, end = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        for _ in range(count):
            function()
        fastest = min(fastest, (time.perf_counter() - begin) / count)
    return fastest


def ours(x, seconds):
    model = Sequential([Dense(WIDTHS[1], activation="relu", input_dim=WIDTHS[0]), Dense(WIDTHS[2], activation="relu"),
                        Dense(WIDTHS[3], activation="sigmoid")])
    weights = model.get_weights()

    @cr.jit
    def compiled(weights, x):
        for k in range(0, len(weights), 2):
            x = x @ weights[k] + weights[k + 1]
            x = np.maximum(x, 0) if k < len(weights) - 2 else 1 / (1 + np.exp(-x))
        return x
    np.testing.assert_allclose(model.predict(x), compiled(weights, x), rtol=1e-5)
    many = np.repeat(x, 32, 0)
    return weights, {"predict": best(lambda: model.predict(x), seconds),
                     "predict, 32 rows": best(lambda: model.predict(many), seconds),
                     "compiled function": best(lambda: compiled(weights, x), seconds)}


def torch_peer(weights, x, seconds):
    import torch
    torch.set_num_threads(1)
    layers = []
    for k in range(0, len(weights), 2):
        layer = torch.nn.Linear(*weights[k].shape)
        layer.weight.data, layer.bias.data = torch.tensor(weights[k].T.copy()), torch.tensor(weights[k + 1])
        layers += [layer, torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1], torch.nn.Sigmoid()).eval()

    def call():
        with torch.inference_mode():
            return network(torch.from_numpy(x)).numpy()
    return {"PyTorch eager": best(call, seconds)}


def jax_peer(weights, x, seconds):
    import jax

    @jax.jit
    def call(weights, x):
        for k in range(0, len(weights), 2):
            x = x @ weights[k] + weights[k + 1]
            x = jax.nn.relu(x) if k < len(weights) - 2 else jax.nn.sigmoid(x)
        return x
    there = [jax.numpy.asarray(w) for w in weights]
    return {"JAX jit": best(lambda: np.asarray(call(there, x)), seconds)}


def keras_peer(weights, x, seconds):
    import os
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras
    model = keras.Sequential([keras.layers.Input((WIDTHS[0],)), *(
        keras.layers.Dense(n, activation=a) for n, a in zip(WIDTHS[1:], ("relu", "relu", "sigmoid"), strict=True))])
    model.set_weights(weights)
    return {f"Keras predict ({keras.backend.backend()})": best(lambda: model.predict(x, verbose=0), seconds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a glance")
    seconds = 0.3 if parser.parse_args().quick else 2.0
    x = np.random.default_rng(0).normal(size=(1, WIDTHS[0])).astype(np.float32)
    weights, found = ours(x, seconds)
    for peer in (torch_peer, jax_peer, keras_peer):
        try:
            found |= peer(weights, x, seconds)
        except ImportError as error:
            print(f"{peer.__name__}: {error}")
    print(f"A network {'-'.join(map(str, WIDTHS))}, one row: µs a call, times the compiled function")
    for name, value in found.items():
        print(f"{name:24}{value * 1e6:10.1f}{value / found['compiled function']:8.2f}")


if __name__ == "__main__":
    main()
