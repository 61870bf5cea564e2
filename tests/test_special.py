"""SciPy's special functions on tracers: values as SciPy's, derivatives against finite differences."""

import numpy as np
import pytest
from scipy import special

import chainrule as cr
from chainrule.errors import ChainruleTypeError

EVERYWHERE = np.array([-np.inf, -37.5, -9.3, -2.6, -1.2, -0.5, -0.1, -0.0, 0.0, 1e-3, 0.1, 0.4999, 0.5, 0.7, 1.0, 1.2,
                       2.0, 3.3, 7.9, 8.0, 12.5, 40.0, 170.0, 1e5, np.inf, np.nan])
ONE = {name: EVERYWHERE for name in "erf erfc expit log_expit ndtr exp10 entr".split()}
ONE |= {"logit": np.linspace(0, 1, 11), "gammaln": EVERYWHERE[1:], "psi": EVERYWHERE[8:], "gamma": EVERYWHERE[2:]}
TWO = "xlogy xlog1py rel_entr kl_div".split()


@pytest.mark.parametrize("name", ONE)
def test_values_of_one_argument(name):
    f, x = getattr(special, name), ONE[name]
    with np.errstate(all="ignore"):
        expected = f(x)
    for dtype, bound in ((np.float64, 2e-13), (np.float32, 2e-5)):
        with np.errstate(all="ignore"):
            got, want = cr.jit(f)(x.astype(dtype)), f(x.astype(dtype))
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want, rtol=bound, atol=bound)
    plain = cr.trace(f, x).evaluate(x)[0]
    np.testing.assert_allclose(plain, expected, rtol=2e-13, atol=2e-13)


@pytest.mark.parametrize("name", TWO)
def test_values_of_two_arguments(name):
    f = getattr(special, name)
    x, y = np.meshgrid([-1.0, 0.0, 0.5, 2.0, np.nan], [-0.5, 0.0, 0.3, 4.0, np.nan])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(cr.jit(f)(x, y), f(x, y), rtol=1e-13)


def test_beta():
    a, b = np.meshgrid([0.5, 1.0, 3.2, 20.0], [0.1, 2.0, 30.0])
    np.testing.assert_allclose(cr.jit(special.beta)(a, b), special.beta(a, b), rtol=1e-11)
    np.testing.assert_allclose(cr.jit(special.betaln)(a, b), special.betaln(a, b), rtol=1e-12)


@pytest.mark.parametrize("name", [*ONE, "xlogy", "beta"])
def test_derivatives(name):
    f = getattr(special, name)
    x = np.array([0.13, 0.36, 0.77]) if name == "logit" else np.array([-1.3, -0.4, 0.3, 0.9, 2.4, 9.7])
    if name in ("beta", "xlogy", "entr"):
        x = np.abs(x)
    args = (x, x[::-1] + 0.5) if name in ("beta", "xlogy") else (x,)
    cr.check_grads(lambda *a: np.sum(f(*a)), args)


def test_derivatives_of_the_gamma_functions_are_each_other():
    x = np.array([-3.7, -0.2, 0.4, 1.0, 2.0, 6.5, 50.0])
    np.testing.assert_allclose(cr.grad(lambda x: np.sum(special.gammaln(x)))(x), special.psi(x), rtol=1e-11)
    expected = [special.polygamma(1, v) if v > 0 else (np.pi / np.sin(np.pi * v)) ** 2 - special.polygamma(1, 1 - v)
                for v in x]
    np.testing.assert_allclose(cr.grad(lambda x: np.sum(special.psi(x)))(x), expected, rtol=1e-9)


def test_no_derivative_is_lost_at_the_edges():
    assert cr.grad(lambda x: special.xlogy(x, x))(0.0) == 0.0
    assert cr.grad(special.entr)(0.0) == 0.0
    assert cr.grad(special.gammaln)(1e30) == pytest.approx(special.psi(1e30))


def test_what_has_no_rule_is_left_to_scipy():
    x = np.linspace(0.5, 3, 4)
    np.testing.assert_array_equal(cr.jit(lambda x: special.j0(x) * 2)(x), special.j0(x) * 2)
    with pytest.raises(ChainruleTypeError, match="derivative of j0"):
        cr.grad(lambda x: np.sum(special.j0(x)))(x)
