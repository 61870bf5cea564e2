"""Counter-based random numbers: the published vectors, reproducible, the same compiled, distributed as they say."""

import numpy as np
import pytest
from support import assert_same, reference

import chainrule.numpy  # noqa: F401
from chainrule import random, runtime
from chainrule.ops.random import threefry

KEY = random.key(42)


@pytest.mark.parametrize(("key", "counter", "word"), [
    # known answers of Threefry-2x32 with 20 rounds, distributed with Random123 (Salmon et al. 2011)
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), 0x6B200159),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), 0x1CB996FC),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), 0xC4923A9C),
])
def test_known_answers(key, counter, word):
    words = [np.full(17, w, np.uint32) for w in (*key, *counter)]
    assert (threefry(*words) == word).all()
    assert (runtime.jit(threefry)(*words) == word).all()


MAKERS = {
    "bits": lambda key: random.bits(key, (5, 7)),
    "uniform": lambda key: random.uniform(key, (33,), minval=-2.0, maxval=3.0),
    "uniform64": lambda key: random.uniform(key, (33,), np.float64),
    "normal": lambda key: random.normal(key, (4, 9)),
    "normal64": lambda key: random.normal(key, (4, 9), np.float64),
    "bernoulli": lambda key: random.bernoulli(key, 0.3, (50,)),
    "permutation": lambda key: random.permutation(key, 40),
    "fold_in": lambda key: random.fold_in(key, 3),
    "split": lambda key: random.split(key, 3)[2],
    "scalar": lambda key: random.uniform(key, ()),
    "empty": lambda key: random.normal(key, (0, 3)),
}


@pytest.mark.parametrize("name", MAKERS)
def test_compiled_is_reference_is_immediate(name):
    make = MAKERS[name]
    at_once = make(KEY)
    assert_same(reference(make, KEY), at_once)
    assert_same(runtime.jit(make)(KEY), at_once, limit=4, scale=4)
    assert_same(make(random.key(42)), at_once)
    assert at_once.size < 2 or not np.array_equal(make(random.key(43)), at_once)


def test_traced_numbers_give_other_keys():
    keys = runtime.jit(lambda key: [random.fold_in(key, i) for i in (0, 1)])(KEY)
    stepped = runtime.jit(random.fold_in)
    for i in (0, 1):
        np.testing.assert_array_equal(stepped(KEY, np.int64(i)), keys[i])
    many = {tuple(random.fold_in(KEY, i).tolist()) for i in range(2000)} | {tuple(KEY.tolist())}
    assert len(many) == 2001


def test_uniform_moments():
    u = random.uniform(KEY, (200_000,))
    assert u.dtype == np.float32 and u.min() >= 0 and u.max() < 1
    assert abs(u.mean() - 0.5) < 0.003 and abs(u.var() - 1 / 12) < 0.001
    counts = np.histogram(u, 64, (0, 1))[0]
    expected = u.size / 64
    assert np.sum((counts - expected) ** 2 / expected) < 120  # χ² of 63 degrees of freedom: 1 in 20,000
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.01
    v = random.uniform(KEY, (1000,), minval=-2.0, maxval=3.0)
    assert v.min() >= -2 and v.max() < 3


def test_bits_are_balanced():
    words = random.bits(KEY, (20_000,))
    ones = np.unpackbits(words.view(np.uint8).reshape(-1, 4), axis=1, bitorder="little").mean(0)
    assert np.abs(ones - 0.5).max() < 0.02
    assert len(np.unique(words)) > 19_990


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normal_moments(dtype):
    x = random.normal(KEY, (200_000,), dtype)
    assert x.dtype == dtype and np.isfinite(x).all()
    assert abs(x.mean()) < 0.01 and abs(x.std() - 1) < 0.01
    assert abs((x**3).mean()) < 0.03 and abs((x**4).mean() - 3) < 0.08
    assert abs((np.abs(x) < 1).mean() - 0.6827) < 0.004


def test_bernoulli():
    assert abs(random.bernoulli(KEY, 0.3, (100_000,)).mean() - 0.3) < 0.006
    assert random.bernoulli(KEY, 1.0, (100,)).all() and not random.bernoulli(KEY, 0.0, (100,)).any()


@pytest.mark.parametrize("n", [0, 1, 2, 17, 1000])
def test_permutation_is_one(n):
    p = random.permutation(KEY, n)
    assert p.dtype == np.int64
    np.testing.assert_array_equal(np.sort(p), np.arange(n))
    np.testing.assert_array_equal(runtime.jit(lambda key: random.permutation(key, n))(KEY), p)


def test_permutations_are_equally_likely():
    seen = {}
    for i in range(1200):
        order = tuple(random.permutation(random.fold_in(KEY, i), 3).tolist())
        seen[order] = seen.get(order, 0) + 1
    assert len(seen) == 6 and all(abs(count - 200) < 60 for count in seen.values())


def test_set_seed():
    random.set_seed(5)
    first = [random.key(), random.key(), random.generator().normal()]
    random.set_seed(5)
    again = [random.key(), random.key(), random.generator().normal()]
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1]) and first[2] == again[2]
    assert not np.array_equal(first[0], first[1])
    random.set_seed(6)
    assert not np.array_equal(random.key(), first[0])


def test_streams_differ():
    assert not np.array_equal(random.bits(KEY, (9,)), random.bits(KEY, (9,), stream=1))
