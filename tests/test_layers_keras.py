"""Every layer gives Keras's outputs, gradients and states; ``golden/make_layers.py`` asked Keras."""

from pathlib import Path

import numpy as np
import pytest
from golden.layer_cases import CASES, IDS, inputs, wave, weight

import chainrule as cr
from chainrule import layers

GOLDEN = np.load(Path(__file__).parent / "golden" / "layers.npz")


@pytest.mark.parametrize("i", range(len(CASES)), ids=IDS)
def test_the_numbers_of_keras(i):
    case = CASES[i]
    layer = getattr(layers, case["layer"])(**case["options"])
    batches = [x if x.dtype.kind == "i" else x.astype(np.float32) for x in inputs(case["shapes"])]
    call = dict(case["call"])
    training = call.pop("training", False)
    layer(*([batches] if case["listed"] else batches), training=training, **call)
    for k, w in enumerate(layer.weights):
        if w.dtype.kind == "f" and not case["layer"] == "Normalization":
            w.assign(weight(w.name, w.shape, k))
    state = [w.array for w in layer.non_trainable_weights]

    def run(trained, batches):
        args = [batches] if case["listed"] else batches
        out, after = layer.stateless_call(trained, state, *args, training=training, **call)
        return np.sum(out * wave(out.shape, 5.0).astype(np.float32)), (out, after)
    trained = [w.array for w in layer.trainable_weights]
    out, after = run(trained, batches)[1]
    expected = GOLDEN[f"{i}-out"]
    assert out.dtype == np.float32 and out.shape == expected.shape
    np.testing.assert_allclose(out, expected, rtol=2e-5, atol=2e-5)
    states = [a for a in after if a.dtype.kind == "f"]
    for k, value in enumerate(states if case["layer"] != "Normalization" else []):
        np.testing.assert_allclose(value, GOLDEN[f"{i}-state{k}"], rtol=1e-5, atol=1e-5)
    wholes = any(x.dtype.kind == "i" for x in batches)
    if not trained and wholes:
        return
    grads = cr.grad(lambda t, b: run(t, b)[0], argnums=0 if wholes else (0, 1))(trained, batches)
    found = list(grads) if wholes else [*grads[0], *grads[1]]
    sums = [np.sum(np.asarray(g, np.float64) * wave(g.shape, 7.0)) for g in found]
    np.testing.assert_allclose(sums, GOLDEN[f"{i}-gradients"], rtol=1e-4, atol=2e-4)
