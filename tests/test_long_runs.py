"""Long runs: memory stays flat, nothing is recorded or compiled again."""

import gc
import tracemalloc

import numpy as np
import pytest

from chainrule.errors import DataError, ShapeError
from chainrule.layers import Dense, Dropout
from chainrule.models import Sequential
from chainrule.runtime import Counters

X = np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


def resident():
    """Pages of this process in memory, in bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


def compiled():
    model = Sequential([Dense(8, activation="relu", input_dim=5), Dropout(0.1), Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


def grown(work, times, first):
    """Bytes of Python objects that ``times`` calls leave behind, after ``first`` calls to come to rest."""
    for _ in range(first):
        work()
    gc.collect()
    tracemalloc.start()
    try:
        work()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(times):
            work()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_memory_is_flat_over_a_thousand_fits():
    model = compiled()

    def work():
        model.fit(X, Y, batch_size=16, epochs=2, verbose=0, validation_split=0.25)
        model.predict(X[:1])
    for _ in range(100):
        work()
    gc.collect()
    counts, before = (Counters.compiled, Counters.loaded, Counters.reused), resident()
    for _ in range(1000):
        work()
    gc.collect()
    assert (Counters.compiled, Counters.loaded, Counters.reused) == counts
    assert resident() - before < 4 << 20
    assert grown(work, 50, 0) < 20_000


def test_memory_is_flat_over_streams():
    model = compiled()

    def work():
        model.fit(lambda: ((X[i:i + 16], Y[i:i + 16]) for i in range(0, 64, 16)), verbose=0)
    assert grown(work, 30, 20) < 20_000


def test_models_made_and_dropped_leave_nothing_behind():
    def work():
        model = compiled()
        model.fit(X, Y, batch_size=16, verbose=0)
        model.predict(X)
    for _ in range(3):
        work()
    counts = Counters.compiled
    assert grown(work, 15, 3) < 100_000
    assert Counters.compiled == counts


def test_one_row_is_predicted_as_many():
    model = compiled()
    many = model.predict(X)
    for _ in range(2):
        np.testing.assert_allclose(model.predict(X[:1]), many[:1], rtol=1e-6)
        np.testing.assert_allclose(model.predict(np.asfortranarray(X[5:6].astype(float))), many[5:6], rtol=1e-6)
    model.fit(X, Y, verbose=0)  # the weights change in place
    np.testing.assert_allclose(model.predict(X[:1]), model.predict(X)[:1], rtol=1e-6)
    other = Sequential(model.layers[:1])  # takes the first layer's weights into its own vector
    other.adopt()
    model.set_weights([w * 0.5 for w in model.get_weights()])
    np.testing.assert_allclose(model.predict(X[:1]), model.predict(X)[:1], rtol=1e-6)
    with pytest.raises(DataError, match=r"x\[0, 0\] is nan"):
        model.predict(np.full((1, 5), np.nan, np.float32))
    with pytest.raises(ShapeError):
        model.predict(X[:1, :4])
    counts = Counters.compiled, Counters.loaded, Counters.reused
    for _ in range(3):
        model.predict(X[:1])
    assert (Counters.compiled, Counters.loaded, Counters.reused) == counts
