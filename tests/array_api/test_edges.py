"""What the standard says and its strict referee does not show: eigenvalues, devices, misfits, complex updates."""

import numpy as np
import pytest
from support import assert_same

import chainrule as cr
import chainrule.numpy as ours
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError

FLOATS = ["float32", "float64", "complex64", "complex128"]
Z = np.arange(6.0) * (1 + 0.5j)


def plainly_and_jitted(function, *args):
    return [np.asarray(function(*args)), np.asarray(cr.jit(function)(*args))]


@pytest.mark.parametrize("dtype", FLOATS)
def test_eigenvalues_are_complex(dtype):
    a = np.array([[[2, 1], [0, 3]], [[0, 1], [-1, 0]]], dtype)
    wanted = np.result_type(dtype, np.complex64)
    for run in (lambda f: f, cr.jit):
        values, vectors = found = run(ours.linalg.eig)(a)
        assert found._fields == ("eigenvalues", "eigenvectors")
        assert (values.dtype, vectors.dtype, values.shape, vectors.shape) == (wanted, wanted, (2, 2), (2, 2, 2))
        np.testing.assert_allclose(a @ vectors, vectors * values[:, None, :], atol=1e-5)
        same = run(ours.linalg.eigvals)(a)
        assert same.dtype == wanted
        np.testing.assert_allclose(np.sort_complex(same), np.sort_complex(values), atol=1e-5)


def test_eigenvalues_of_what_is_not_finite():
    a = np.stack([np.eye(2), np.full((2, 2), np.nan)])
    with pytest.raises(np.linalg.LinAlgError):
        ours.linalg.eig(a)
    values = cr.jit(ours.linalg.eigvals)(a)
    np.testing.assert_array_equal(np.isnan(values), [[False, False], [True, True]])


@pytest.mark.parametrize("function", [
    lambda x, d: ours.zeros_like(x, device=d), lambda x, d: ours.ones_like(x, device=d),
    lambda x, d: ours.empty_like(x, device=d), lambda x, d: ours.full_like(x, 2, device=d),
    lambda x, d: ours.astype(x, np.float32, device=d), lambda x, d: ours.asarray(x, device=d),
    lambda x, d: ours.from_dlpack(x, device=d), lambda x, d: ours.full((2,), ours.sum(x), device=d)])
def test_there_is_one_device(function):
    for device in (None, "cpu"):
        cr.jit(function, static_argnames="d")(np.ones(2), d=device)
    with pytest.raises(ArgumentError, match="cuda"):
        cr.jit(lambda x: function(x, "cuda"))(np.ones(2))
    with pytest.raises(ValueError):
        function(np.ones(2), "cuda")


@pytest.mark.parametrize(("function", "shapes"), [
    (np.vecdot, [(1,), (3,)]), (np.vecdot, [(2, 3), (2, 1)]), (lambda a, b: np.linalg.multi_dot([a, b]), [(1,), (3,)]),
    (lambda a, b: np.linalg.multi_dot([a, b, a]), [(2, 1), (2, 2)]),
    (lambda a, b: np.linalg.multi_dot([a, b, a]), [(2,), (2,)])])
def test_lengths_of_one_do_not_stand_for_others_in_products(function, shapes):
    args = [np.ones(shape) for shape in shapes]
    for run in (function, cr.jit(function)):
        with pytest.raises((ValueError, np.linalg.LinAlgError)) as caught:
            run(*args)
    assert isinstance(caught.value, ShapeError)


def test_vecdot_takes_its_axis_of_each_array():
    a, b = np.arange(6.0).reshape(2, 3), np.arange(2.0)
    assert_same(cr.jit(lambda a, b: np.vecdot(a, b, axis=0))(a, b), np.vecdot(a, b, axis=0))


@pytest.mark.parametrize("options", [{"n": 0}, {"n": 0, "prepend": 5.0}, {"n": 5}, {"n": 2, "append": np.ones(2)}])
def test_diff_of_any_order(options):
    x = np.arange(4.0) ** 2
    assert_same(cr.jit(lambda x: np.diff(x, **options))(x), np.diff(x, **options))
    with pytest.raises(ArgumentError):
        cr.jit(lambda x: np.diff(x, n=-1))(x)


@pytest.mark.parametrize("name", ["set", "add", "subtract", "multiply", "divide", "power"])
def test_updates_of_complex_arrays(name):
    for key in (slice(1, 3), 2, np.array([0, 2, 2, -1]), Z.real > 1, slice(None, None, -2)):
        for value in (2 + 1j, 2.0, 3):
            results = plainly_and_jitted(lambda z, k=key, v=value: getattr(cr.at(z, k), name)(v), Z)
            assert {r.dtype for r in results} == {np.dtype(complex)}
            np.testing.assert_allclose(*results)


@pytest.mark.parametrize(("update", "says"), [
    (lambda z: cr.at(z, 0).min(1.0), "no order"), (lambda z: cr.at(z.real, 0).set(1j), "into an array of float64"),
    (lambda z: cr.at(z.real, 0).add(z[1]), "into an array of float64")])
def test_updates_that_complex_numbers_do_not_allow(update, says):
    for run in (update, cr.jit(update)):
        with pytest.raises(ChainruleTypeError, match=says):
            run(Z)


def test_the_sign_of_a_complex_nan():
    for sign in plainly_and_jitted(ours.sign, np.array([complex(np.inf, np.nan), complex(np.nan, np.inf), 3 - 4j])):
        assert np.isnan(sign.real[:2]).all() and np.isnan(sign.imag[:2]).all()
        assert sign[2] == 0.6 - 0.8j
