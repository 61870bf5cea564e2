"""Checkpoints: a run that is stopped and resumed is one that never stopped, and no file is ever half written."""

import os
import resource
import signal
import subprocess
import sys
import time

import killed_run
import numpy as np
import pytest

from chainrule import random
from chainrule.callbacks import BackupAndRestore, LambdaCallback
from chainrule.errors import FileError, UsageError
from chainrule.layers import Dense, Dropout
from chainrule.models import Sequential

RNG = np.random.default_rng(1)
X = RNG.normal(size=(90, 4)).astype(np.float32)
Y = (X[:, 0] > X[:, 1]).astype(int)


def compiled(optimizer="adam", units=8):
    model = Sequential([Dense(units, activation="tanh", input_dim=4, name="first"), Dropout(0.3),
                        Dense(1, activation="sigmoid", name="second")])
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"])
    return model


class Stopped(Exception):
    pass


def run(*, stop_at=None, folder=None, save_freq="epoch", data=(X, Y), interrupt=False, **options):
    """A run from a seed, stopped by an error or Ctrl-C in the batch ``stop_at``; its history and weights."""
    random.set_seed(5)
    model = compiled()
    count = [0]

    def after(batch, logs):
        count[0] += 1
        if count[0] == stop_at:
            if interrupt:
                os.kill(os.getpid(), signal.SIGINT)
            else:
                raise Stopped
    calls = [LambdaCallback(on_train_batch_end=after)]
    calls += [BackupAndRestore(folder, save_freq)] if folder else []
    history = model.fit(*data, epochs=4, callbacks=calls, verbose=0, **{"batch_size": 8, **options})
    return history.history, history.epoch, model.get_weights()


def same(found, expected):
    assert found[:2] == expected[:2]
    for a, b in zip(found[2], expected[2], strict=True):
        np.testing.assert_array_equal(a, b)


def batches():
    return ((X[i:i + 8], Y[i:i + 8]) for i in range(0, 90, 8))


KINDS = {
    "shuffled": {},
    "in order": {"shuffle": False},
    "validated": {"validation_split": 0.2},
    "batches": {"data": (batches,), "batch_size": None},
    "a generator": {"data": lambda: ((b for _ in range(4) for b in batches()),), "batch_size": None,
                    "steps_per_epoch": 12},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_run_goes_on(kind, tmp_path):
    options = KINDS[kind]
    made = options.get("data", (X, Y))
    data = made if callable(made) else lambda: made
    options = {k: v for k, v in options.items() if k != "data"}
    expected = run(data=data(), **options)
    for k, (stop_at, save_freq) in enumerate([(1, 3), (5, 3), (12, "epoch"), (14, 1), (29, 5)]):
        folder = tmp_path / str(k)
        with pytest.raises(Stopped):
            run(stop_at=stop_at, folder=folder, save_freq=save_freq, data=data(), **options)
        if stop_at == 29:  # and once more
            with pytest.raises(Stopped):
                run(stop_at=7, folder=folder, save_freq=save_freq, data=data(), **options)
        same(run(folder=folder, save_freq=save_freq, data=data(), **options), expected)
        assert not list(folder.iterdir())


@pytest.mark.parametrize("shuffle", [True, False])
def test_ctrl_c_saves_the_step_that_was_reached(shuffle, tmp_path, capsys):
    expected = run(shuffle=shuffle)
    with pytest.raises(KeyboardInterrupt):
        run(stop_at=17, folder=tmp_path, interrupt=True, shuffle=shuffle)
    assert "epoch 2 of 4, step" in capsys.readouterr().out
    same(run(folder=tmp_path, shuffle=shuffle), expected)


def test_a_run_without_hooks_is_resumed_within_an_epoch(tmp_path):
    """Whole epochs before and after, one of them in two parts."""
    def whole(**options):
        random.set_seed(5)
        model = compiled()
        return model, model.fit(X, Y, batch_size=8, epochs=4, verbose=0, **options)
    for shuffle in (True, False):
        expected, history = whole(shuffle=shuffle)
        with pytest.raises(Stopped):
            run(stop_at=17, folder=tmp_path, save_freq=4, shuffle=shuffle)
        with pytest.raises(UsageError, match=r"callbacks \['LambdaCallback', 'BackupAndRestore'\]"):
            whole(shuffle=shuffle, callbacks=BackupAndRestore(tmp_path))
        found, again = whole(shuffle=shuffle, callbacks=[LambdaCallback(), BackupAndRestore(tmp_path)])
        assert again.history == history.history
        for a, b in zip(found.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the server forks")
@pytest.mark.parametrize("kind, times", [("run", 50), ("own", 10)])
def test_killed_at_random_moments(kind, times, tmp_path):
    """So many kills, each at any moment of a run, its saves included."""
    killed_run.train(tmp_path, f"{kind} never", None)
    killed_run.train(tmp_path, f"{kind} warm")  # compiles the programs, to be found on disk
    expected = np.load(tmp_path / f"{kind} never.npz")
    rng, kills, ended = np.random.default_rng(), 0, 0
    server = subprocess.Popen([sys.executable, killed_run.__file__, tmp_path], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        while kills < times:
            name = f"{kind}{ended}"
            server.stdin.write(name + "\n")
            server.stdin.flush()
            child = int(server.stdout.readline())
            time.sleep(rng.uniform(0.01, 0.25))
            if not (tmp_path / f"{name}.npz").exists():
                os.kill(child, signal.SIGKILL)
                kills += 1
            assert server.stdout.readline() == "ended\n"
            ended += (tmp_path / f"{name}.npz").exists()
        server.stdin.write(f"{kind}{ended}\n")  # the last one to its end
        server.stdin.close()
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.stdout.close()
        server.wait()
    for k in range(ended + 1):
        found = np.load(tmp_path / f"{kind}{k}.npz")
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=f"{kind} {k}, {name}")


def test_a_full_disk_harms_nothing(tmp_path):
    with pytest.raises(Stopped):
        run(stop_at=20, folder=tmp_path, save_freq=4)
    before = (tmp_path / "backup.safetensors").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(FileError, match=r"could not be written[\s\S]*what stood there before is unharmed"):
            run(folder=tmp_path, save_freq=4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert [p.name for p in tmp_path.iterdir()] == ["backup.safetensors"]
    assert (tmp_path / "backup.safetensors").read_bytes() == before
    same(run(folder=tmp_path, save_freq=4), run())
