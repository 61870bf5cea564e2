"""Counter-based random numbers: the published vectors, reproducible, the same compiled, distributed as they say."""

import itertools

import numpy as np
import pytest
from scipy import special, stats
from support import assert_same, reference

import chainrule.numpy  # noqa: F401
from chainrule import random, runtime
from chainrule.autodiff import grad, jvp, vmap
from chainrule.check import check_grads
from chainrule.control import scan
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError
from chainrule.ops.random import log_gamma_path, threefry
from chainrule.random.special import log_gamma, normal_quantile

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
    "bits8": lambda key: random.bits(key, 9, np.uint8),
    "bits64": lambda key: random.bits(key, 9, np.uint64),
    "uniform": lambda key: random.uniform(key, (33,), minval=-2.0, maxval=3.0),
    "uniform64": lambda key: random.uniform(key, (33,), np.float64),
    "normal": lambda key: random.normal(key, (4, 9)),
    "normal64": lambda key: random.normal(key, (4, 9), np.float64),
    "bernoulli": lambda key: random.bernoulli(key, 0.3, (50,)),
    "bernoulli many": lambda key: random.bernoulli(key, np.linspace(0, 1, 11)),
    "rademacher": lambda key: random.rademacher(key, 20),
    "randint": lambda key: random.randint(key, (50,), -3, np.array([4])),
    "randint wide": lambda key: random.randint(key, (50,), -2**62, 2**62),
    "randint unsigned": lambda key: random.randint(key, (9,), 5, 2**64 - 1, np.uint64),
    "categorical": lambda key: random.categorical(key, np.arange(12.0).reshape(3, 4), axis=0, shape=(5, 4)),
    "permuted": lambda key: random.permutation(key, np.arange(12.0).reshape(3, 4), axis=1),
    "choice": lambda key: random.choice(key, 7, (2, 3)),
    "choice once": lambda key: random.choice(key, np.arange(14.0).reshape(2, 7), 3, replace=False, axis=1),
    "choice weighted": lambda key: random.choice(key, 4, 20, p=np.array([0.1, 0.0, 0.7, 0.2])),
    "truncated": lambda key: random.truncated_normal(key, np.array([-1.0, 3.0, -np.inf]), np.array([2.0, 4.0, -5.0])),
    "exponential": lambda key: random.exponential(key, 9, scale=2.0),
    "laplace": lambda key: random.laplace(key, 9, loc=1.0, scale=2.0),
    "logistic": lambda key: random.logistic(key, 9, np.float64, 1.0, 2.0),
    "cauchy": lambda key: random.cauchy(key, 9, np.float64),
    "gumbel": lambda key: random.gumbel(key, 9),
    "gamma": lambda key: random.gamma(key, np.array([0.01, 0.5, 1.0, 3.0, 1e6]), scale=2.0),
    "beta": lambda key: random.beta(key, np.array([0.2, 5.0]), 3.0, (4, 2)),
    "dirichlet": lambda key: random.dirichlet(key, np.array([0.1, 1.0, 10.0]), 4),
    "poisson": lambda key: random.poisson(key, np.array([0.0, 0.3, 5.0, 10.0, 1e5])),
    "binomial": lambda key: random.binomial(key, np.array([0, 3, 40, 1000]), np.array([[0.0], [0.3], [0.9], [1.0]])),
    "sphere": lambda key: random.sphere(key, 3, 5),
    "ball": lambda key: random.ball(key, 3, 5),
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
    assert_same(runtime.jit(make)(KEY), at_once, limit=8, scale=4)
    assert_same(make(random.key(42)), at_once)
    assert at_once.size < 2 or not np.array_equal(make(random.key(43)), at_once)


@pytest.mark.parametrize("name", MAKERS)
def test_of_many_keys(name):
    make, keys = MAKERS[name], random.split(KEY, 3)
    expected = np.stack([make(k) for k in keys])
    assert_same(vmap(make)(keys), expected, limit=8, scale=4)
    if name in ("normal", "randint", "choice once", "gamma", "poisson"):
        assert_same(runtime.jit(vmap(make))(keys), expected, limit=8, scale=4)


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


# ---------------------------------------------------------------- distributions

N = 40_000
CONTINUOUS = {
    "uniform": (lambda key, dtype: random.uniform(key, N, dtype, -2, 5), stats.uniform(-2, 7)),
    "normal": (lambda key, dtype: random.normal(key, N, dtype, 2, 0.5), stats.norm(2, 0.5)),
    "truncated": (lambda key, dtype: random.truncated_normal(key, -2, 2, N, dtype), stats.truncnorm(-2, 2)),
    "truncated above": (lambda key, dtype: random.truncated_normal(key, 4, 6, N, dtype, 1, 2),
                        stats.truncnorm(4, 6, 1, 2)),
    "truncated below": (lambda key, dtype: random.truncated_normal(key, -np.inf, -1, N, dtype),
                        stats.truncnorm(-np.inf, -1)),
    "exponential": (lambda key, dtype: random.exponential(key, N, dtype, 3), stats.expon(scale=3)),
    "laplace": (lambda key, dtype: random.laplace(key, N, dtype, 3, 2), stats.laplace(3, 2)),
    "logistic": (lambda key, dtype: random.logistic(key, N, dtype, 3, 2), stats.logistic(3, 2)),
    "cauchy": (lambda key, dtype: random.cauchy(key, N, dtype, 3, 2), stats.cauchy(3, 2)),
    "gumbel": (lambda key, dtype: random.gumbel(key, N, dtype, 3, 2), stats.gumbel_r(3, 2)),
    **{f"gamma {a}": (lambda key, dtype, a=a: random.gamma(key, a, N, dtype, 2), stats.gamma(a, scale=2))
       for a in (0.3, 1.0, 1.5, 40.0, 1e5)},
    **{f"beta {a} {b}": (lambda key, dtype, a=a, b=b: random.beta(key, a, b, N, dtype), stats.beta(a, b))
       for a, b in ((0.5, 0.5), (2.0, 5.0), (100.0, 3.0))},
    "dirichlet": (lambda key, dtype: random.dirichlet(key, np.array([2.0, 1.0, 4.0]), N, dtype)[:, 0],
                  stats.beta(2, 5)),
    "ball": (lambda key, dtype: np.linalg.norm(random.ball(key, 3, N, dtype), axis=-1) ** 3, stats.uniform()),
    "sphere": (lambda key, dtype: random.sphere(key, 3, N, dtype)[:, 1], stats.uniform(-1, 2)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_distribution(name, dtype):
    make, expected = CONTINUOUS[name]
    x = make(random.key(11), dtype)
    assert x.shape == (N,) and x.dtype == dtype and np.isfinite(x).all()
    assert stats.kstest(x.astype(np.float64), expected.cdf).pvalue > 1e-3


DISCRETE = {
    **{f"poisson {lam}": (lambda key, lam=lam: random.poisson(key, lam, N), stats.poisson(lam))
       for lam in (0.3, 3.0, 9.99, 10.0, 50.0, 1e4)},
    **{f"binomial {n} {p}": (lambda key, n=n, p=p: random.binomial(key, n, p, N), stats.binom(n, p))
       for n, p in ((1, 0.5), (30, 0.3), (100, 0.95), (21, 0.5), (1000, 0.5), (10**6, 0.9))},
    "randint": (lambda key: random.randint(key, N, 3, 20), stats.randint(3, 20)),
    "choice": (lambda key: random.choice(key, 5, N, p=[0.1, 0.2, 0.0, 0.3, 0.4]),
               stats.rv_discrete(values=(range(5), [0.1, 0.2, 0.0, 0.3, 0.4]))),
    "categorical": (lambda key: random.categorical(key, np.log([[0.1], [0.2], [0.7]]), axis=0, shape=(N, 1))[:, 0],
                    stats.rv_discrete(values=(range(3), [0.1, 0.2, 0.7]))),
    "rademacher": (lambda key: random.rademacher(key, N, np.int64), stats.rv_discrete(values=([-1, 1], [0.5, 0.5]))),
}


def p_value(counts, expected):
    """χ², neighbours joined so that 20 are expected in each bin at least."""
    bins = np.cumsum(expected) // 20
    _, at = np.unique(bins, return_inverse=True)
    counts, expected = np.bincount(at, counts), np.bincount(at, expected)
    return stats.chi2.sf(np.sum((counts - expected) ** 2 / np.maximum(expected, 1e-9)), max(len(expected) - 1, 1))


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_distribution(name):
    make, expected = DISCRETE[name]
    x = make(random.key(12))
    assert x.shape == (N,) and x.dtype == np.int64
    values = np.arange(x.min(), x.max() + 1)
    mass = N * expected.pmf(values)
    mass[0] += N * expected.cdf(values[0] - 1)
    mass[-1] += N * expected.sf(values[-1])
    assert p_value(np.bincount(x - x.min(), minlength=len(values)), mass) > 1e-3


def test_streams_are_independent():
    keys = [*random.split(KEY, 3), random.fold_in(KEY, 10**6), random.fold_in(random.fold_in(KEY, 1), 1)]
    streams = [random.normal(k, N, np.float64) for k in keys] + [random.gumbel(KEY, N, np.float64)]
    for x, y in itertools.combinations(streams, 2):
        assert abs(np.corrcoef(x, y)[0, 1]) < 5 / np.sqrt(N) and abs(np.corrcoef(x**2, y**2)[0, 1]) < 5 / np.sqrt(N)


def test_keys_of_many_numbers():
    keys = random.fold_in(KEY, np.arange(6).reshape(2, 3))
    assert keys.shape == (2, 3, 2)
    np.testing.assert_array_equal(keys[1, 2], random.fold_in(KEY, 5))
    np.testing.assert_array_equal(random.split(KEY, 4)[3], random.fold_in(KEY, 3))


def test_weighted_choice_without_replacement():
    p = np.array([0.5, 0.3, 0.2])
    seen = np.zeros((3, 3))
    for i in range(1000):
        first, second = random.choice(random.fold_in(KEY, i), 3, 2, replace=False, p=p)
        seen[first, second] += 1
    expected = np.array([[0 if i == j else p[i] * p[j] / (1 - p[i]) for j in range(3)] for i in range(3)]) * 1000
    assert p_value(seen[expected > 0], expected[expected > 0]) > 1e-3 and not seen.diagonal().any()


def test_multivariate_normal():
    mean, cov = np.array([1.0, -2.0, 0.0]), np.array([[2.0, 0.5, 0.0], [0.5, 1.0, -0.3], [0.0, -0.3, 0.5]])
    x = random.multivariate_normal(KEY, mean, cov, N, np.float64)
    np.testing.assert_allclose(x.mean(axis=0), mean, atol=0.03)
    np.testing.assert_allclose(np.cov(x.T), cov, atol=0.05)
    assert random.multivariate_normal(KEY, np.zeros((4, 2)), np.eye(2)).shape == (4, 2)
    with pytest.raises(ArgumentError, match="not positive definite"):
        random.multivariate_normal(KEY, np.zeros(2), -np.eye(2))
    with pytest.raises(ShapeError, match="covariances of shape"):
        random.multivariate_normal(KEY, np.zeros(3), np.eye(2))


def test_extreme_parameters():
    assert random.binomial(KEY, 7, 0.0, 3).tolist() == [0] * 3 and random.binomial(KEY, 7, 1.0, 3).tolist() == [7] * 3
    assert random.poisson(KEY, 0.0, 3).tolist() == [0] * 3
    tiny = random.dirichlet(KEY, np.full(4, 1e-3), 100)
    np.testing.assert_allclose(tiny.sum(axis=-1), 1, rtol=1e-6)
    assert (random.uniform(KEY, 1000, minval=1.0, maxval=np.nextafter(np.float32(1), np.float32(2))) == 1).all()
    half = random.uniform(KEY, N, np.float16)
    assert half.dtype == np.float16 and half.max() == 1 - 2**-11 and half.min() == 0
    assert random.randint(KEY, 1000, 0, 256, np.uint8).max() > 250
    far = random.truncated_normal(KEY, 6.0, np.inf, 1000, np.float64)
    assert far.min() >= 6 and 6.1 < far.mean() < 6.2
    assert np.isfinite(random.gamma(KEY, 1e-6, 1000)).all()


# ---------------------------------------------------------------- parameters

ONE = np.float64
REPARAMETRISED = {
    "uniform": (lambda a, b: random.uniform(KEY, None, ONE, a, b), ([-1.0, 0.5], [2.0, 3.0])),
    "normal": (lambda a, b: random.normal(KEY, None, ONE, a, b), ([-1.0, 0.5], [2.0, 3.0])),
    "exponential": (lambda a: random.exponential(KEY, None, ONE, a), ([2.0, 3.0],)),
    "laplace": (lambda a, b: random.laplace(KEY, None, ONE, a, b), ([-1.0, 0.5], [2.0, 3.0])),
    "logistic": (lambda a, b: random.logistic(KEY, None, ONE, a, b), ([-1.0, 0.5], [2.0, 3.0])),
    "cauchy": (lambda a, b: random.cauchy(KEY, None, ONE, a, b), ([-1.0, 0.5], [2.0, 3.0])),
    "gumbel": (lambda a, b: random.gumbel(KEY, None, ONE, a, b), ([-1.0, 0.5], [2.0, 3.0])),
    "truncated": (lambda a, b: random.truncated_normal(KEY, a, b, None, ONE), ([-1.0, 0.5, -4.0], [2.0, 3.0, -3.0])),
    "gamma scale": (lambda b: random.gamma(KEY, 2.0, None, ONE, b), ([2.0, 3.0],)),
}


@pytest.mark.parametrize("name", REPARAMETRISED)
def test_derivatives_by_parameters(name):
    make, parameters = REPARAMETRISED[name]
    check_grads(make, [np.array(p) for p in parameters])


def test_special_functions():
    p = np.concatenate([np.logspace(-300, -1, 100), np.linspace(0.11, 0.49, 50), np.linspace(0.51, 0.99, 50)])
    np.testing.assert_allclose(normal_quantile(p), special.ndtri(p), rtol=5e-15)
    x = np.concatenate([np.linspace(1.0, 30.0, 200), np.logspace(1.5, 9, 50)])
    np.testing.assert_allclose(log_gamma(x), special.gammaln(x), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("a", [0.05, 0.5, 1.0, 2.5, 10.0, 1e4, 1e6])
def test_gamma_numbers_follow_their_shape_as_quantiles(a):
    q, h = np.array([1e-6, 1e-3, 0.1, 0.5, 0.9, 0.999, 1 - 1e-6]), a * 1e-4
    y, *near = (np.log(special.gammaincinv(a + k * h, q)) for k in (0, -2, -1, 1, 2))
    slope = (near[0] - 8 * near[1] + 8 * near[2] - near[3]) / (12 * h)
    _, pushed = jvp(lambda b: log_gamma_path(y, b), (np.full(7, a),), (np.ones(7),))
    np.testing.assert_allclose(pushed, slope, rtol=1e-7)


def test_derivatives_of_means():
    def mean_of_gamma(a):
        return np.mean(random.gamma(KEY, a, N, np.float64))
    assert grad(mean_of_gamma)(2.5) == pytest.approx(1.0, abs=0.02)
    assert runtime.jit(grad(mean_of_gamma))(2.5) == pytest.approx(grad(mean_of_gamma)(2.5), rel=1e-9)
    # the mean of a beta number is a / (a + b), its derivative by a is b / (a + b)²
    assert grad(lambda a: np.mean(random.beta(KEY, a, 3.0, N, np.float64)))(1.0) == pytest.approx(3 / 16, abs=0.005)

    def second(a):
        return grad(lambda b: np.mean(random.gamma(KEY, b, 2000, np.float64) ** 2))(a)
    assert grad(second)(2.0) == pytest.approx(2.0, abs=0.2)  # a (a + 1) is the mean


def test_parameters_broadcast_and_may_be_traced():
    loc, scale = np.zeros((3, 1)), np.ones(4)
    assert random.normal(KEY, loc=loc, scale=scale).shape == (3, 4)
    assert random.gamma(KEY, np.ones(4), (2, 4)).shape == (2, 4)
    assert random.normal(KEY).shape == () and random.normal(KEY, 3).shape == (3,)
    plain = random.poisson(KEY, np.array([2.0, 30.0]))
    np.testing.assert_array_equal(runtime.jit(lambda lam: random.poisson(KEY, lam))(np.array([2.0, 30.0])), plain)
    np.testing.assert_array_equal(runtime.jit(lambda p: random.bernoulli(KEY, p, (50,)))(0.3),
                                  random.bernoulli(KEY, 0.3, (50,)))
    assert_same(runtime.jit(lambda s: random.normal(KEY, 9, scale=s))(0.3), random.normal(KEY, 9, scale=0.3))
    p = np.array([0.2, 0.5, 0.3])
    np.testing.assert_array_equal(runtime.jit(lambda p: random.choice(KEY, 3, 50, p=p))(p),
                                  random.choice(KEY, 3, 50, p=p))


def test_a_loop_draws_anew_in_every_step():
    def walk(key):
        return scan(lambda x, i: (x + random.normal(random.fold_in(key, i), 3), random.randint(random.fold_in(key, i),
                                                                                               (2,), 0, 1000)),
                    np.zeros(3, np.float32), np.arange(5))
    total, drawn = runtime.jit(walk)(KEY)
    steps = [random.fold_in(KEY, i) for i in range(5)]
    np.testing.assert_allclose(total, sum(random.normal(k, 3) for k in steps), rtol=1e-5)
    np.testing.assert_array_equal(drawn, [random.randint(k, (2,), 0, 1000) for k in steps])


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: random.key(-1), ArgumentError, "seed=-1"),
    (lambda: random.key(1.5), ArgumentError, "whole number"),
    (lambda: random.normal(42), ArgumentError, r"random\.key\(42\)"),
    (lambda: random.normal(random.split(KEY)), ArgumentError, "cr.vmap"),
    (lambda: random.fold_in(KEY, 0.5), ChainruleTypeError, "float64"),
    (lambda: random.bits(KEY, 3, np.int32), ChainruleTypeError, "int32"),
    (lambda: random.normal(KEY, -3), ArgumentError, "shape=-3"),
    (lambda: random.normal(KEY, 3, np.int32), ChainruleTypeError, "floating"),
    (lambda: random.normal(KEY, scale=-1.0), ArgumentError, "scale"),
    (lambda: random.normal(KEY, (2, 3), loc=np.zeros(4)), ShapeError, "broadcast"),
    (lambda: random.normal(KEY, 1, loc=np.zeros(4)), ShapeError, r"shape=\(4,\)"),
    (lambda: random.uniform(KEY, 3, minval=2.0), ArgumentError, "minval not above maxval"),
    (lambda: random.truncated_normal(KEY, 2.0, 1.0), ArgumentError, "lower"),
    (lambda: random.exponential(KEY, scale=np.array([1.0, np.nan])), ArgumentError, "scale"),
    (lambda: random.gamma(KEY, 0.0), ArgumentError, "above 0"),
    (lambda: random.beta(KEY, 1.0, -1.0), ArgumentError, "b="),
    (lambda: random.dirichlet(KEY, 1.0), ShapeError, "scalar"),
    (lambda: random.poisson(KEY, -1.0), ArgumentError, "lam"),
    (lambda: random.binomial(KEY, 3, 1.5), ArgumentError, "0 to 1"),
    (lambda: random.bernoulli(KEY, -0.1), ArgumentError, "p="),
    (lambda: random.randint(KEY, 3, 5, 5), ArgumentError, "minval below maxval"),
    (lambda: random.randint(KEY, 3, 0, 300, np.uint8), ArgumentError, "uint8"),
    (lambda: random.randint(KEY, 3, 0.0, 3), ArgumentError, "whole numbers"),
    (lambda: random.randint(KEY, 3, 0, 3, np.float32), ChainruleTypeError, "float32"),
    (lambda: random.categorical(KEY, 1.0), ShapeError, "logits"),
    (lambda: random.categorical(KEY, np.zeros((2, 3)), shape=(3,)), ShapeError, "ends with"),
    (lambda: random.permutation(KEY, -1), ArgumentError, "-1"),
    (lambda: random.permutation(KEY, 2.5), ShapeError, "scalar"),
    (lambda: random.choice(KEY, 3, 4, replace=False), ArgumentError, "4 from 3"),
    (lambda: random.choice(KEY, 3, 2, replace=False, p=[1.0, 0.0, 0.0]), ArgumentError, "from 1 elements"),
    (lambda: random.choice(KEY, 3, 2, p=[1.0, 0.0]), ShapeError, "3 elements"),
    (lambda: random.choice(KEY, 2, 2, p=[1.0, -1.0]), ArgumentError, "p="),
])
def test_what_does_not_fit_is_an_error(call, error, message):
    with pytest.raises(error, match=message):
        call()
