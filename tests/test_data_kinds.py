"""Every kind of data trains as the plain arrays do, and what is wrong with it is said at the call."""

import subprocess
import sys
import threading
import time

import h5py
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse

from chainrule import random
from chainrule.errors import ArgumentError, DataError, ShapeError, UsageError
from chainrule.layers import Dense, Dropout
from chainrule.models import Sequential
from chainrule.runtime import Counters
from chainrule.training import Callback
from chainrule.utils import PyDataset

RNG = np.random.default_rng(0)
X = RNG.normal(size=(421, 4)).astype(np.float32).round(2)
Y = (X[:, 0] * X[:, 1] > 0).astype(np.int64)
NAMES = ["a", "b", "c", "d"]
BATCH = 4
STEPS = 106  # the last one short


def fitted(*data, seed=3, model=None, **options):
    random.set_seed(seed)
    model = model or Sequential([Dense(8, activation="tanh", input_dim=4), Dropout(0.2),
                                 Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    history = model.fit(*data, epochs=3, verbose=0, **{"batch_size": BATCH, **options})
    return history.history, model


def same(found, expected):
    """Histories and weights are equal to the last bit."""
    assert found[0] == expected[0]
    for a, b in zip(found[1].get_weights(), expected[1].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def close(found, expected):
    """Trained the same to the last bit, validated the same to rounding."""
    for name, values in expected[0].items():
        assert found[0][name] == pytest.approx(values, rel=1e-6), name
    same(({}, found[1]), ({}, expected[1]))


@pytest.fixture(scope="module")
def shuffled():
    return fitted(X, Y)


@pytest.fixture(scope="module")
def in_order():
    return fitted(X, Y, shuffle=False)


def table():
    return pd.DataFrame(dict(zip(NAMES, X.T, strict=True)) | {"label": Y})


FRAMES = {
    "pandas": lambda: (table().drop(columns="label"), table()["label"]),
    "pandas, column": lambda: (table(), "label"),
    "pandas, table of one": lambda: (table(), ["label"]),
    "pandas, nullable": lambda: (table().convert_dtypes(), "label"),
    "polars": lambda: (pl.DataFrame(table()), "label"),
    "polars, lazy": lambda: (pl.DataFrame(table()).lazy(), "label"),
    "polars, series": lambda: (pl.DataFrame(table()).drop("label"), pl.DataFrame(table())["label"]),
    "Arrow": lambda: (pa.Table.from_pandas(table()), "label"),
    "Arrow, chunked": lambda: (pa.Table.from_pandas(table()).drop_columns("label"), pa.chunked_array([Y[:9], Y[9:]])),
    "Arrow, record batch": lambda: (pa.RecordBatch.from_pandas(table()[NAMES]), pa.array(Y)),
    "lists": lambda: (X.tolist(), Y.tolist()),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_tables(kind, shuffled):
    x, y = FRAMES[kind]()
    same(fitted(x, y), shuffled)
    features = x if not isinstance(y, str | list) or kind == "lists" else X
    np.testing.assert_array_equal(shuffled[1].predict(features), shuffled[1].predict(X))
    assert shuffled[1].evaluate(x, y, verbose=0) == shuffled[1].evaluate(X, Y, verbose=0)


def mapped(folder, array, name="x", dtype=np.float32):
    path = folder / f"{name}.npy"
    np.save(path, array.astype(dtype))
    return np.load(path, mmap_mode="r")


def hdf5(folder):
    file = h5py.File(folder / "data.h5", "w")
    return file.create_dataset("x", data=X), file.create_dataset("y", data=Y)


ROWS = {
    "memory map": lambda folder: (mapped(folder, X), Y),
    "memory maps": lambda folder: (mapped(folder, X), mapped(folder, Y, "y", np.int8)),
    "memory map of doubles, a part": lambda folder: (mapped(folder, np.r_[X, X], dtype=np.float64)[:421], Y),
    "sparse": lambda folder: (scipy.sparse.csr_matrix(X), Y),
    "sparse array by coordinates": lambda folder: (scipy.sparse.coo_array(X), pd.Series(Y)),
    "HDF5": hdf5,
}


@pytest.mark.parametrize("kind", ROWS)
def test_rows_read_as_needed(kind, shuffled, in_order, tmp_path):
    x, y = ROWS[kind](tmp_path)
    same(fitted(x, y), shuffled)
    same(fitted(x, y, shuffle=False), in_order)
    model = shuffled[1]
    np.testing.assert_array_equal(model.predict(x), model.predict(X))
    assert model.evaluate(x, y, verbose=0) == pytest.approx(model.evaluate(X, Y, verbose=0), rel=1e-6)


def test_rows_are_split_and_validated(tmp_path):
    expected = fitted(X, Y, validation_split=0.2)
    close(fitted(mapped(tmp_path, X), Y, validation_split=0.2), expected)
    held_out = scipy.sparse.csr_matrix(X[336:]), Y[336:]
    close(fitted(X[:336], Y[:336], validation_data=held_out), expected)


class Squares(PyDataset):
    def __len__(self):
        return STEPS

    def __getitem__(self, index):
        return X[index * BATCH:(index + 1) * BATCH], Y[index * BATCH:(index + 1) * BATCH]


class Loader:
    """An iterable with a length, as PyTorch's DataLoader is one."""

    def __iter__(self):
        return (Squares()[i] for i in range(STEPS))

    def __len__(self):
        return STEPS


def generator(times=1):
    for _ in range(times):
        yield from Loader()


BATCHES = {
    "iterable": lambda: (Loader(), {}),
    "function": lambda: (generator, {}),
    "generator": lambda: (generator(3), {"steps_per_epoch": STEPS}),
    "iterable, endless": lambda: (Loader(), {"steps_per_epoch": STEPS}),
    "data set": lambda: (Squares(), {"shuffle": False}),
    "data set by threads": lambda: (Squares(workers=3), {"shuffle": False}),
}


@pytest.mark.parametrize("kind", BATCHES)
def test_batches(kind, in_order):
    batches, options = BATCHES[kind]()
    same(fitted(batches, batch_size=None, **options), in_order)
    if kind != "generator":
        model = in_order[1]
        np.testing.assert_array_equal(model.predict(batches), model.predict(X, batch_size=BATCH))
        assert model.evaluate(batches, verbose=0) == pytest.approx(model.evaluate(X, Y, verbose=0), rel=1e-6)


def test_batches_are_validated_on():
    expected = fitted(X, Y, validation_data=(X[:8], Y[:8]))
    for held_out in (Loader(), (Squares()[i % 2] for i in range(6))):
        close(fitted(X, Y, validation_data=held_out, validation_steps=2), expected)
    with pytest.raises(UsageError, match="can be gone through once, and is needed for 3 validations"):
        fitted(X, Y, validation_data=generator())


def test_a_data_set_is_shuffled_by_batches_and_told_of_epochs():
    seen, told = [], []

    class Watched(Squares):
        def __getitem__(self, index):
            seen.append(index)
            return super().__getitem__(index)

        def on_epoch_end(self):
            told.append(len(seen))
    fitted(Watched(), batch_size=None)
    rounds = np.array(seen[1:]).reshape(3, STEPS)  # the first one shows the shapes
    assert (np.sort(rounds) == np.arange(STEPS)).all() and (rounds[0] != rounds[1]).any()
    assert len(told) == 3


def test_batches_of_other_sizes():
    sizes = [8, 3, 8, 5, 8]
    ends = np.cumsum(sizes)
    batches = [(X[e - n:e], Y[e - n:e]) for n, e in zip(sizes, ends, strict=True)]
    history, model = fitted(lambda: iter(batches), batch_size=None)
    assert model.evaluate(lambda: iter(batches), verbose=0) == pytest.approx(
        model.evaluate(X[:32], Y[:32], verbose=0), rel=1e-6)
    assert model.predict(lambda: iter([x for x, _ in batches])).shape == (32, 1)


class Counting(Callback):
    def __init__(self, interval=1):
        self.batch_interval, self.begun, self.ended = interval, [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.begun.append(batch)

    def on_train_batch_end(self, batch, logs=None):
        self.ended.append((batch, round(logs["loss"], 3)))


@pytest.mark.parametrize("interval", [1, 3])
@pytest.mark.parametrize("kind", ["shuffled", "in order", "rows", "batches"])
def test_hooks_of_batches_change_nothing(kind, interval, shuffled, in_order, tmp_path):
    counting = Counting(interval)
    data, options, expected = {
        "shuffled": ((X, Y), {}, shuffled),
        "in order": ((X, Y), {"shuffle": False}, in_order),
        "rows": ((mapped(tmp_path, X), Y), {}, shuffled),
        "batches": ((Loader(),), {"batch_size": None}, in_order)}[kind]
    same(fitted(*data, callbacks=[counting], **options), expected)
    steps = list(range(STEPS))
    assert counting.begun == [s for s in steps if s % interval == 0] * 3
    assert [b for b, _ in counting.ended] == [s for s in steps if (s + 1) % interval == 0] * 3
    if interval == 1:
        assert [loss for b, loss in counting.ended if b == STEPS - 1] == [round(v, 3) for v in expected[0]["loss"]]


def test_steps_per_epoch_of_arrays():
    seen = Counting()
    fitted(X, Y, steps_per_epoch=4, callbacks=[seen])
    assert [b for b, _ in seen.ended] == [0, 1, 2, 3] * 3
    fitted(X, Y, steps_per_epoch=4)


def test_stopping_within_an_epoch():
    class Stop(Counting):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)
            self.model.stop_training = batch == 2
    stop = Stop()
    history, _ = fitted(X, Y, callbacks=[stop])
    assert [b for b, _ in stop.ended] == [0, 1, 2] and len(history["loss"]) == 1


# ---------------------------------------------------------------- Parquet


def parquet(folder, group=97):
    path = folder / "data.parquet"
    pq.write_table(pa.Table.from_pandas(table()), path, row_group_size=group)
    return path


def test_parquet(in_order, tmp_path):
    path = parquet(tmp_path)
    same(fitted(path, "label", shuffle=False), in_order)
    same(fitted(str(path), ["label"], shuffle=False), in_order)
    same(fitted([path], "label", shuffle=False), in_order)
    same(fitted(tmp_path, "label", shuffle=False), in_order)
    model = in_order[1]
    assert model.evaluate(path, "label", verbose=0) == pytest.approx(model.evaluate(X, Y, verbose=0), rel=1e-6)
    pq.write_table(pa.Table.from_pandas(table()[NAMES]), tmp_path / "x.parquet")
    np.testing.assert_array_equal(model.predict(tmp_path / "x.parquet"), model.predict(X))
    history, _ = fitted(path, "label", validation_data=(path, "label"))
    assert len(history["val_loss"]) == 3


def test_parquet_is_shuffled(tmp_path):
    path = parquet(tmp_path)
    orders = [fitted(path, "label", seed=s)[0]["loss"] for s in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


# ---------------------------------------------------------------- reading ahead


def test_batches_are_read_while_native_code_runs():
    threads = set()

    def batches():
        for item in Loader():
            threads.add(threading.current_thread().name)
            yield item
    fitted(batches, batch_size=None)
    assert "chainrule-reader" in threads
    assert not [t for t in threading.enumerate() if t.name == "chainrule-reader"]


def test_a_slow_reader_is_waited_for(in_order):
    def slow():
        for item in Loader():
            time.sleep(0.003)
            yield item
    same(fitted(slow, batch_size=None), in_order)


def test_streams_compile_once(tmp_path):
    _, model = fitted(mapped(tmp_path, X), Y)
    model.fit(mapped(tmp_path, X), Y, batch_size=BATCH, verbose=0)
    model.predict(Loader()), model.evaluate(Loader(), verbose=0)
    before = Counters.compiled, Counters.loaded, Counters.reused
    for _ in range(3):
        model.fit(mapped(tmp_path, X), Y, batch_size=BATCH, epochs=2, verbose=0)
        model.predict(Loader()), model.evaluate(Loader(), verbose=0)
    assert (Counters.compiled, Counters.loaded, Counters.reused) == before


# ---------------------------------------------------------------- what cannot be trained on


def spoilt(at=(30, 2), value=np.nan):
    x = X.copy()
    x[at] = value
    return x


def test_missing_values_are_found_by_row_and_column(tmp_path):
    frame = pd.DataFrame(dict(zip(NAMES, spoilt().T, strict=True)))
    for x in (frame, pl.DataFrame(frame), pa.Table.from_pandas(frame)):
        with pytest.raises(DataError, match=r"x\[30, 2\], column 'c', is nan"):
            fitted(x, Y)
    for x in (mapped(tmp_path, spoilt()), scipy.sparse.csr_matrix(spoilt())):
        with pytest.raises(DataError, match=r"x\[30, 2\] is nan"):
            fitted(x, Y)
    with pytest.raises(DataError, match=r"x\[2, 2\] is nan[\s\S]*Where: in batch 7 .* of what bad\(\) gives"):
        def bad():
            return ((spoilt()[i:i + 4], Y[i:i + 4]) for i in range(0, 421, 4))
        fitted(bad, batch_size=None)


WRONG = [
    (lambda: (iter([]),), DataError, "is empty"),
    (lambda: (lambda: iter([]),), DataError, "is empty"),
    (lambda: (generator(),), UsageError, r"The generator can be gone through once, and there are 3 epochs"),
    (lambda: ([],), DataError, "x is empty"),
    (lambda: (iter([(X, Y, Y, Y)]),), DataError, "gave a tuple of 4"),
    (lambda: (Loader(), Y), ArgumentError, "got y beside a Loader"),
    (lambda: (table(), "lable"), DataError, "names the column 'lable'"),
    (lambda: (table().assign(city="x"), "label"), DataError, "column 'city' of x has dtype"),
    (lambda: (scipy.sparse.csr_matrix(X), Y[:50]), DataError, "x has 421 samples and y has 50"),
    (lambda: (scipy.sparse.csr_matrix(X[:, :3]), Y), ShapeError, "x has 3 features"),
    (lambda: ("missing.parquet", "label"), FileNotFoundError, "missing.parquet"),
    (lambda: ("missing.parquet", Y), ArgumentError, "the name of a column"),
]


@pytest.mark.parametrize(("data", "kind", "message"), WRONG, ids=[m[:20] for _, _, m in WRONG])
def test_what_cannot_be_trained_on(data, kind, message):
    with pytest.raises(kind, match=f"(?i){message}"):
        fitted(*data(), batch_size=None)


def test_batch_size_belongs_to_who_makes_the_batches():
    with pytest.raises(ArgumentError, match="batch_size=4 for the Loader, which makes the batches itself"):
        fitted(Loader())


def test_a_generator_that_ends_early():
    with pytest.raises(DataError, match=r"ended after 212 batches, 12 of the 200 of an epoch"):
        fitted(generator(2), batch_size=None, steps_per_epoch=200)


def test_a_later_batch_of_another_shape_keeps_what_was_learned():
    def changing():
        yield X[:8], Y[:8]
        yield X[:8, :3], Y[:8]
    model = fitted(X, Y)[1]
    before = model.get_weights()
    with pytest.raises(ShapeError, match=r"x has 3 features[\s\S]*in batch 1"):
        model.fit(changing, verbose=0)
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))


def test_an_error_of_the_generator_comes_out():
    def failing():
        yield X[:8], Y[:8]
        raise LookupError("mine")
    with pytest.raises(LookupError, match="mine"):
        fitted(failing, batch_size=None)


def test_modules_imported_late_are_there_for_others():
    """What is imported when it is used must be found by who imports it the usual way, as asyncio does."""
    code = "import chainrule, asyncio, concurrent.futures; concurrent.futures.ThreadPoolExecutor; asyncio.tasks"
    subprocess.run([sys.executable, "-c", code], check=True)
