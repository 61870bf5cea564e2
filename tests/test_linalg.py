"""Linear algebra on traced matrices: NumPy's results, derivatives, what fails, and native kernels at their limits."""

import inspect

import numpy as np
import pytest
from samples import definite
from support import reference

import chainrule as cr
from chainrule.check import check_grads
from chainrule.compiler.interpret import interpret
from chainrule.compiler.pipeline import build
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError
from chainrule.numpy import linalg
from chainrule.ops.declare import REGISTRY
from chainrule.ops.linalg import parts
from chainrule.runtime import Counters, jit
from chainrule.trace import trace

rng = np.random.default_rng(5)
SIZES = (0, 1, 2, 3, 7, 17, 33)
SHAPES = [(n, n) for n in SIZES] + [(2, 3, 3, 3)]


def t(x):
    return np.swapaxes(x, -1, -2)


def general(*shape, dtype="float64"):
    """Matrices far from singular."""
    a = np.random.default_rng(sum(shape)).normal(size=shape)
    return (a + 2 * np.eye(*shape[-2:]) * shape[-1] ** 0.5).astype(dtype)


def near(actual, expected, dtype="float64", factor=1.0, what=""):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, what
    assert actual.dtype == expected.dtype, what
    tolerance = factor * 300 * np.finfo(dtype).eps * (1 + np.max(np.abs(expected), initial=0))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance, err_msg=what)


# ---------------------------------------------------------------- values

BY_SQUARE = {
    "cholesky": lambda a: np.linalg.cholesky(a @ t(a)),
    "upper": lambda a: np.linalg.cholesky(a @ t(a), upper=True),
    "inv": lambda a: np.linalg.inv(a),
    "det": lambda a: np.linalg.det(a / 4),
    "slogdet": lambda a: tuple(np.linalg.slogdet(a)),
    "eigvalsh": lambda a: np.linalg.eigvalsh(a + t(a)),
    "eigvalsh upper": lambda a: np.linalg.eigvalsh(a, UPLO="U"),
    "svdvals": lambda a: np.linalg.svdvals(a),
    "power": lambda a: np.linalg.matrix_power(a / 4, 5),
    "inverse power": lambda a: np.linalg.matrix_power(a, -3),
    "no power": lambda a: np.linalg.matrix_power(a, 0),
    "rank": lambda a: np.linalg.matrix_rank(a),
    "solve": lambda a: np.linalg.solve(a, t(a)[..., :2]),
    "solve vector": lambda a: np.linalg.solve(a, np.ones(a.shape[-1], a.dtype)),
    "trace": lambda a: np.linalg.trace(a),
    "diagonal": lambda a: np.linalg.diagonal(a),
    "nuclear": lambda a: np.linalg.matrix_norm(a, ord="nuc"),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", BY_SQUARE)
def test_square_matrices(name, dtype):
    function = BY_SQUARE[name]
    arrays = [general(*shape, dtype=dtype) for shape in SHAPES]

    def everything(arrays):
        return [function(a) for a in arrays]
    for a, out, wanted in zip(arrays, jit(everything)(arrays), everything(arrays), strict=True):
        for o, w in zip(*((x if isinstance(x, tuple) else (x,)) for x in (out, wanted)), strict=True):
            near(o, w, dtype, a.shape[-1] + 1, f"{name} of {a.shape}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 4), (4, 1), (17, 5), (5, 33), (2, 3, 6, 4)])
def test_rectangular_matrices(shape, dtype):
    a, b = rng.normal(size=shape).astype(dtype), rng.normal(size=(*shape[:-1], 2)).astype(dtype)
    q, r = jit(np.linalg.qr)(a)
    near(q, np.linalg.qr(a).Q, dtype, 4)
    near(r, np.linalg.qr(a).R, dtype, 4)
    near(jit(lambda a: np.linalg.qr(a, "r"))(a), r)
    for o, w in zip(jit(lambda a: np.linalg.qr(a, mode="complete"))(a), np.linalg.qr(a, "complete"), strict=True):
        near(o, w, dtype, 4)
    near(jit(np.linalg.svdvals)(a), np.linalg.svdvals(a), dtype)
    near(jit(np.linalg.pinv)(a), np.linalg.pinv(a), dtype, 40)
    if 0 not in shape:
        for function in (np.linalg.matrix_rank, np.linalg.cond):
            near(jit(function)(a), function(a), dtype, 40)
    if len(shape) == 2:
        for o, w in zip(jit(np.linalg.lstsq)(a, b), np.linalg.lstsq(a, b), strict=True):
            near(o, w, dtype, 40)


def is_orthogonal(q, dtype):
    near(t(q) @ q, np.broadcast_to(np.eye(q.shape[-1], dtype=dtype), (*q.shape[:-2], q.shape[-1], q.shape[-1])), dtype)


def is_settled(columns):
    """The first element that is not small is positive."""
    for v in t(columns).reshape(-1, columns.shape[-2]):
        assert v[np.argmax(np.abs(v) >= 0.3 * np.abs(v).max())] > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("full", [True, False])
def test_singular_vectors(full, dtype):
    oblong = [(0, 3), (3, 0), (1, 4), (4, 1), (3, 7), (2, 3, 6, 4), (40, 26)]
    arrays = [rng.normal(size=shape).astype(dtype) for shape in [(n, n) for n in SIZES] + oblong]
    found = jit(lambda arrays: [np.linalg.svd(a, full_matrices=full) for a in arrays])(arrays)
    for a, (u, s, vh) in zip(arrays, found, strict=True):
        wanted = np.linalg.svd(a, full_matrices=full)
        assert [x.shape for x in (u, s, vh)] == [x.shape for x in wanted]
        near(s, wanted.S, dtype)
        is_orthogonal(u, dtype)
        is_orthogonal(t(vh), dtype)
        k = s.shape[-1]
        near(u[..., :k] * s[..., None, :] @ vh[..., :k, :], a, dtype)
        if a.size:
            is_settled(u)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_eigenvectors(dtype):
    drawn = [rng.normal(size=shape) for shape in SHAPES]
    arrays = [(x + t(x)).astype(dtype) for x in drawn]
    for a, (w, v) in zip(arrays, jit(lambda arrays: [np.linalg.eigh(x) for x in arrays])(arrays), strict=True):
        near(w, np.linalg.eigvalsh(a), dtype)
        is_orthogonal(v, dtype)
        near(a @ v, v * w[..., None, :], dtype, 2)
        if a.size:
            is_settled(v)


def test_results_have_the_names_of_numpy():
    a = np.eye(2)
    found = jit(lambda a: (np.linalg.eigh(a), np.linalg.svd(a), np.linalg.qr(a), np.linalg.slogdet(a)))(a)
    assert found[0].eigenvalues.shape == (2,)
    assert found[1].Vh.shape == (2, 2)
    assert found[2].R.shape == (2, 2)
    assert found[3].logabsdet == 0


def test_one_triangle_counts():
    a = np.array([[4.0, np.nan, np.nan], [1.0, 5.0, np.nan], [0.5, 0.25, 6.0]])
    for x, options in ((a, {}), (t(a), {"upper": True})):
        near(jit(lambda x, options=options: np.linalg.cholesky(x, **options))(x), np.linalg.cholesky(x, **options))
    for x, uplo in ((a, "L"), (t(a), "U")):
        near(jit(lambda x, uplo=uplo: np.linalg.eigvalsh(x, uplo))(x), np.linalg.eigvalsh(x, uplo))


def test_stacks_broadcast():
    a, b = general(3, 1, 4, 4), rng.normal(size=(2, 4, 5))
    near(jit(np.linalg.solve)(a, b), np.linalg.solve(a, b))
    near(jit(np.linalg.solve)(a[0, 0], b), np.linalg.solve(a[0, 0], b))
    near(jit(np.linalg.solve)(a, b[0, :, 0]), np.linalg.solve(a, b[0, :, 0]))


def test_whole_numbers_become_float64():
    a = np.array([[2, 1], [1, 3]])
    for function in (np.linalg.inv, np.linalg.det, np.linalg.cholesky, np.linalg.svdvals, np.linalg.cond):
        near(jit(function)(a), function(a))


def test_tensors():
    a, b = rng.normal(size=(2, 3, 6)), rng.normal(size=(2, 3))
    near(jit(np.linalg.tensorsolve)(a, b), np.linalg.tensorsolve(a, b))
    moved = np.moveaxis(a, 2, 0)
    near(jit(lambda a, b: np.linalg.tensorsolve(a, b, axes=(0,)))(moved, b), np.linalg.tensorsolve(moved, b, axes=(0,)))
    near(jit(lambda a: np.linalg.tensorinv(a, ind=2))(a), np.linalg.tensorinv(a, ind=2))


# ---------------------------------------------------------------- norms and conditions



def apart(*shape):
    """Numbers of both signs, none near 0 or near another in size, so that no kink is near."""
    n = int(np.prod(shape))
    sizes = np.random.default_rng(n).permutation(np.linspace(0.5, 4, n))
    return (sizes * np.where(np.arange(n) % 3, 1, -1)).reshape(shape)


ORDERS = [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf]


@pytest.mark.parametrize("order", ORDERS)
def test_matrix_norms(order):
    a, square = apart(2, 3, 4), apart(3, 3) + 6 * np.eye(3)
    for function, x in (
            (lambda x: np.linalg.norm(x, order, axis=(-2, -1)), a),
            (lambda x: np.linalg.norm(x, order, axis=(2, 0), keepdims=True), a),
            (lambda x: np.linalg.matrix_norm(x, ord=order or "fro", keepdims=True), a),
            (lambda x: np.linalg.cond(x, order), square)):
        near(jit(function)(x), function(x))
        check_grads(function, (x,), order=1 if order in (1, -1, np.inf, -np.inf) else 2)


@pytest.mark.parametrize("order", [0, 1, -1, 2, -2, 3, 1.5, 0.5, np.inf, -np.inf])
def test_vector_norms(order):
    a = apart(2, 3, 4)
    for function in (lambda x: np.linalg.vector_norm(x, ord=order), lambda x: np.linalg.norm(x, order, axis=1),
                     lambda x: np.linalg.vector_norm(x, ord=order, axis=(0, 2), keepdims=True)):
        near(jit(function)(a), function(a))
        if order != 0:
            check_grads(function, (a,))


@pytest.mark.parametrize("order", [None, 1, 2, 3, 1.5, np.inf])
def test_the_gradient_of_a_norm_at_zero_is_zero(order):
    for function in (cr.grad(lambda x: np.linalg.norm(x, order)), jit(cr.grad(lambda x: np.linalg.norm(x, order)))):
        np.testing.assert_array_equal(function(np.zeros(3)), np.zeros(3))
    np.testing.assert_array_equal(cr.grad(lambda x: np.linalg.matrix_norm(x))(np.zeros((2, 2))), np.zeros((2, 2)))


# ---------------------------------------------------------------- derivatives

eigh, svd = REGISTRY["eigh"], REGISTRY["svd"]  # with settled signs, traced or not
DERIVED = {
    "cholesky": lambda a: np.linalg.cholesky(a @ t(a) + np.eye(a.shape[-1])),
    "upper": lambda a: np.linalg.cholesky(a @ t(a) + np.eye(a.shape[-1]), upper=True),
    "solve": lambda a: np.linalg.solve(a, np.sin(a)[..., :2]),
    "solve vector": lambda a: np.linalg.solve(a, np.sin(a)[(0,) * (a.ndim - 1)]) if a.shape[-1] else a,
    "inv": lambda a: np.linalg.inv(a),
    "det": lambda a: np.linalg.det(a / 3),
    "slogdet": lambda a: np.linalg.slogdet(a)[1],
    "qr": lambda a: tuple(np.linalg.qr(a)),
    "eigh": lambda a: tuple(parts(eigh(a + t(a)))),
    "eigvalsh": lambda a: np.linalg.eigvalsh(a + t(a)),
    "svd": lambda a: tuple(parts(svd(a, full=True))),
    "svdvals": lambda a: np.linalg.svdvals(a),
    "pinv": lambda a: np.linalg.pinv(a),
    "inverse power": lambda a: np.linalg.matrix_power(a, -2),
}
OBLONG = {
    "qr": lambda a: tuple(np.linalg.qr(a)),
    "svd": lambda a: tuple(parts(svd(a, full=False))),
    "svdvals": lambda a: np.linalg.svdvals(a),
    "pinv": lambda a: np.linalg.pinv(a),
    "lstsq": lambda a: tuple(np.linalg.lstsq(a, np.sin(a[:, :2]))[:2]) if a.ndim == 2 else np.linalg.pinv(a),
}


@pytest.mark.parametrize("name", DERIVED)
@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (2, 2), (3, 3), (5, 5), (2, 3, 3)])
def test_derivatives(name, shape):
    if name == "solve vector" and len(shape) > 2:
        shape = (3, 3)
    check_grads(DERIVED[name], (general(*shape),), rtol=1e-4)


@pytest.mark.parametrize("name", OBLONG)
@pytest.mark.parametrize("shape", [(5, 3), (2, 5), (2, 4, 2)])
def test_derivatives_of_oblong_matrices(name, shape):
    check_grads(OBLONG[name], (rng.normal(size=shape),), rtol=1e-4)


def test_compiled_derivatives():
    a = general(6, 6)
    functions = [*DERIVED.values()]

    def everything(a):
        out = []
        for f in functions:
            result, pull = cr.vjp(f, a)
            several = result if isinstance(result, tuple) else (result,)
            cts = tuple(np.cos(np.arange(r.size, dtype=r.dtype)).reshape(r.shape) for r in several)
            out.append(pull(cts if isinstance(result, tuple) else cts[0])[0])
        return out
    for name, out, wanted in zip(DERIVED, jit(everything)(a), reference(everything, a), strict=True):
        near(out, wanted, factor=100, what=name)


def test_symmetric_matrices_have_symmetric_gradients():
    a = definite(rng, (4, 4), "float64")
    for f in (lambda a: np.sum(np.linalg.cholesky(a)), lambda a: np.sum(np.linalg.eigvalsh(a) ** 3),
              lambda a: np.sum(np.linalg.cholesky(a, upper=True) ** 2)):
        g = cr.grad(f)(a)
        near(g, g.T)
        d = rng.normal(size=(4, 4))
        d = d + d.T
        near(np.sum(g * d), (f(a + 1e-5 * d) - f(a - 1e-5 * d)) / 2e-5, factor=1e6)


def test_the_determinant_of_small_matrices_has_derivatives_everywhere():
    for n in (1, 2, 3):
        check_grads(np.linalg.det, (np.zeros((n, n)),))
        check_grads(np.linalg.det, (np.ones((2, n, n)),))
    assert np.isnan(cr.grad(np.linalg.det)(np.ones((4, 4)))).all()


def test_what_has_no_derivative():
    with pytest.raises(ArgumentError, match="full_matrices=False"):
        cr.grad(lambda a: np.sum(np.linalg.svd(a)[0]))(np.ones((3, 2)))
    with pytest.raises(ArgumentError, match="mode='reduced'"):
        cr.grad(lambda a: np.sum(np.linalg.qr(a, "complete")[0]))(np.ones((3, 2)))
    # of equal eigenvalues the sum has a derivative, the vectors have none
    near(cr.grad(lambda a: np.sum(np.linalg.eigvalsh(a)))(np.eye(3)), np.eye(3))
    assert np.isnan(cr.grad(lambda a: np.sum(np.linalg.eigh(a)[1]))(np.eye(3))).any()
    near(cr.grad(lambda a: np.linalg.norm(a, "nuc"))(np.eye(3)), np.eye(3))


def test_batch_rules():
    a, b = general(4, 3, 3), rng.normal(size=(3, 2))
    wanted = np.stack([np.linalg.solve(x, b) for x in a])
    op = REGISTRY["lu_solve"]
    packed, pivots = REGISTRY["lu"](a)
    near(op.batch([a, packed, pivots, b], [True, True, True, False], 4, transposed=False), wanted)
    for name, params in (("cholesky", {}), ("eigh", {}), ("svd", {"full": True}), ("qr", {"complete": False}),
                         ("lu", {})):
        op, x = REGISTRY[name], a @ t(a)
        out = op.batch([x], [True], 4, **params)
        rows = [op(m, **params) for m in x]
        for k, o in enumerate(out if isinstance(out, list) else [out]):
            near(o, np.stack([r[k] if isinstance(out, list) else r for r in rows]))


@pytest.mark.parametrize("name", DERIVED)
def test_batched(name):
    a, f = general(4, 3, 3), DERIVED[name]

    def total(m):
        result = f(m)
        return sum(np.sum(np.sin(r)) for r in (result if isinstance(result, tuple) else (result,)))
    for function in (f, cr.grad(total)):
        rows = [function(m) for m in a]
        for run in (cr.vmap(function), jit(cr.vmap(function))):
            out = run(a)
            for k, o in enumerate(out if isinstance(out, tuple) else (out,)):
                near(o, np.stack([r[k] if isinstance(out, tuple) else r for r in rows]), factor=100)


def test_batched_in_one_argument():
    a, b = general(3, 3), rng.normal(size=(4, 3))
    wanted = np.stack([np.linalg.solve(a, row) for row in b])
    near(jit(cr.vmap(np.linalg.solve, in_axes=(None, 0)))(a, b), wanted)
    near(jit(cr.vmap(np.linalg.solve, in_axes=(0, None)))(general(4, 3, 3), b[0]).shape, (4, 3))


def test_hessian():
    a = definite(rng, (3, 3), "float64")
    inverse = np.linalg.inv(a)
    wanted = -np.einsum("il,kj->jikl", inverse, inverse)  # d(A⁻ᵀ)[i, j] / dA[k, l]
    near(jit(cr.hessian(lambda a: np.linalg.slogdet(a)[1]))(a), wanted.transpose(1, 0, 2, 3), factor=10)


# ---------------------------------------------------------------- what fails


def test_failure_is_an_error_plainly_and_nan_when_recorded():
    singular, indefinite = np.array([[1.0, 2.0], [2.0, 4.0]]), np.array([[1.0, 2.0], [2.0, 1.0]])
    for function, bad in ((np.linalg.inv, singular), (lambda a: np.linalg.solve(a, np.ones(2)), singular),
                          (np.linalg.cholesky, indefinite), (np.linalg.cholesky, np.zeros((2, 2)))):
        with pytest.raises(np.linalg.LinAlgError):
            function(bad)
        good = np.array([[2.0, 1.0], [1.0, 3.0]])
        both = np.stack([good, bad, good])
        for run in (jit(function), lambda a, f=function: reference(f, a)):
            assert np.isnan(run(bad)).all()
            out = run(both)
            assert np.isnan(out[1]).all()
            near(out[::2], np.stack([function(good)] * 2))
    for run in (jit(np.linalg.slogdet), np.linalg.slogdet):
        assert tuple(run(np.ones((4, 4)))) == (0, -np.inf)
    assert jit(np.linalg.det)(np.ones((4, 4))) == 0
    assert jit(np.linalg.cond)(np.ones((2, 2))) > 1e15
    assert jit(lambda a: np.linalg.cond(a, 1))(np.ones((2, 2))) == np.inf


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("n", [3, 30])
def test_what_is_not_finite_is_nan_and_ends(value, n):
    a = np.eye(n)
    a[1, 0] = a[0, 1] = value
    for function in (np.linalg.eigvalsh, np.linalg.svdvals, lambda a: np.linalg.qr(a)[1][0]):
        assert np.isnan(jit(function)(a)).any()
    assert not np.isfinite(jit(np.linalg.det)(a))
    assert np.isnan(jit(np.linalg.cholesky)(a)).all()


@pytest.mark.parametrize(("function", "args", "text"), [
    (np.linalg.inv, (np.ones((2, 3)),), "square"), (np.linalg.cholesky, (np.ones((2, 3)),), "square"),
    (np.linalg.det, (np.ones(3),), "two axes"), (np.linalg.eigh, (np.ones((2, 3)),), "square"),
    (np.linalg.solve, (np.eye(3), np.ones(2)), "3 rows"), (np.linalg.solve, (np.eye(3), np.ones((2, 3))), "3 rows"),
    (np.linalg.lstsq, (np.ones((4, 2)), np.ones(3)), "as many rows"), (np.linalg.qr, (np.ones(3),), "two axes"),
    (lambda a: np.linalg.qr(a, "raw"), (np.eye(2),), "'reduced'"), (np.linalg.svd, (np.ones(3),), "two axes"),
    (lambda a: np.linalg.eigh(a, "X"), (np.eye(2),), "'L'"), (np.linalg.matrix_power, (np.ones((2, 3)), 2), "square"),
    (np.linalg.cond, (np.ones((0, 0)),), "at least one"),
    (np.linalg.tensorsolve, (np.ones((2, 3)), np.ones(2)), "unknowns"),
    (np.linalg.tensorinv, (np.ones((2, 3)), 1), "as many elements"),
    (lambda a: np.linalg.norm(a, "max"), (np.eye(2),), "'fro'")])
def test_errors_say_what_fits(function, args, text):
    static = [a for a in args if not isinstance(a, np.ndarray)]
    with pytest.raises((ShapeError, ArgumentError), match=text):
        trace(lambda *arrays: function(*arrays, *static), *(a for a in args if isinstance(a, np.ndarray)))


def test_general_eigenvalues_have_no_derivative_and_say_so():
    with pytest.raises(ChainruleTypeError, match=r"derivative of np\.linalg\.eigvals is not known"):
        cr.grad(lambda a: np.sum(np.linalg.eigvals(a).real))(np.eye(2))


@pytest.mark.parametrize("shape", [(2, 2), (3, 2), (2, 3)])
def test_r_is_triangular_whatever_the_elements(shape):
    a = np.full(shape, np.inf, np.float32)
    with np.errstate(all="ignore"):
        r = cr.jit(lambda a: np.linalg.qr(a).R)(a)
    np.testing.assert_array_equal(r, np.triu(r))


# ---------------------------------------------------------------- kernels at their limits


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("exponent", [-1, 1])
def test_sizes_far_from_one(exponent, dtype):
    factor = np.asarray(float(np.finfo(dtype).max) ** (0.9 * exponent), dtype)
    a = general(5, 5, dtype=dtype)
    with np.errstate(all="ignore"):
        s = (a + a.T) * factor
        near(jit(np.linalg.svdvals)(a * factor) / factor, np.linalg.svdvals(a), dtype)
        near(jit(np.linalg.eigvalsh)(s) / factor, np.linalg.eigvalsh(a + a.T), dtype)
        near(jit(np.linalg.qr)(a * factor).R / factor, np.linalg.qr(a).R, dtype, 4)


@pytest.mark.parametrize("n", [2, 5, 30])
def test_repeated_and_vanishing_values(n):
    q = np.linalg.qr(rng.normal(size=(n, n))).Q
    graded = np.diag(10.0 ** -np.arange(n))
    cases = [np.zeros((n, n)), np.eye(n), np.ones((n, n)), q * np.repeat([3.0, 1.0], [n // 2, n - n // 2]) @ q.T,
             q[:, :1] @ q[:, :1].T, np.diag(np.arange(n) - 1.0), graded, q @ graded @ q.T]
    cases = [(c + c.T) / 2 for c in cases]
    for a, (w, v), (u, s, vh) in zip(cases, *jit(lambda cases: ([np.linalg.eigh(a) for a in cases],
                                                               [np.linalg.svd(a) for a in cases]))(cases), strict=True):
        near(w, np.linalg.eigvalsh(a))
        near(v * w @ v.T, a)
        near(s, np.linalg.svdvals(a))
        near(u * s @ vh, a)
        for vectors in (v, u, vh):
            is_orthogonal(vectors, "float64")


def test_small_singular_values_are_relatively_accurate():
    scales = 10.0 ** -np.arange(0, 60, 6)
    a = general(10, 10)
    exact = jit(np.linalg.svdvals)(a * scales)
    np.testing.assert_allclose(jit(np.linalg.svdvals)(a * scales * 1e-3), exact * 1e-3, rtol=1e-12)
    np.testing.assert_allclose(np.sum(np.log(exact)), np.linalg.slogdet(a)[1] + np.sum(np.log(scales)), rtol=1e-12)


def test_rank_deficient_least_squares():
    a = rng.normal(size=(7, 2)) @ rng.normal(size=(2, 4))
    b = rng.normal(size=7)
    x, _, rank, s = jit(np.linalg.lstsq)(a, b)
    wanted = np.linalg.lstsq(a, b)
    near(x, wanted[0], factor=100)
    assert rank == wanted[2] == 2
    near(s, wanted[3])
    near(jit(lambda a: np.linalg.pinv(a, rtol=1e-8))(a), np.linalg.pinv(a, rtol=1e-8), factor=100)
    near(jit(lambda a: np.linalg.matrix_rank(a, tol=100.0))(a), np.linalg.matrix_rank(a, tol=100.0))
    near(jit(lambda a: np.linalg.matrix_rank(a, rtol=1e-3))(a), np.linalg.matrix_rank(a, rtol=1e-3))


# ---------------------------------------------------------------- several results, and one kernel for equal uses


def test_loops_interpreted_give_the_reference():
    graph = trace(lambda a: [*np.linalg.svd(a), np.linalg.inv(a)], general(3, 3))
    a = general(3, 3)
    for out, wanted in zip(interpret(build(graph), [a]), graph.evaluate(a), strict=True):
        near(out, np.ravel(wanted))


def test_parts_that_nobody_uses_and_parts_used_twice():
    a = general(4, 4)
    u, again, total = jit(lambda a: (np.linalg.svd(a).U, np.linalg.svd(a).U * 2, np.linalg.svd(a).S.sum()))(a)
    near(again, u * 2)
    near(total, np.linalg.svdvals(a).sum())


def test_equal_kernels_are_written_once():
    text = jit(lambda a, b: np.linalg.inv(a) + np.linalg.inv(b)).stage("llvm", general(3, 3), general(3, 3))
    assert sum(line.startswith("define void @lu") for line in text.splitlines()) == 2  # lu, lu_solve


def test_in_loops():
    a = general(5, 3, 3)
    out = jit(lambda a: cr.scan(lambda c, m: (np.linalg.solve(m, c), np.linalg.eigvalsh(m + m.T)), np.ones(3), a))(a)
    c = np.ones(3)
    for m in a:
        c = np.linalg.solve(m, c)
    near(out[0], c)
    near(out[1], np.stack([np.linalg.eigvalsh(m + m.T) for m in a]))


def test_second_call_compiles_nothing():
    f, a = jit(np.linalg.inv), general(3, 3)
    f(a)
    before = Counters.compiled
    f(a + 1)
    assert Counters.compiled == before


# ---------------------------------------------------------------- names


def test_the_extension_of_the_standard_is_there():
    standard = ("cholesky cross det diagonal eig eigh eigvals eigvalsh inv matmul matrix_norm matrix_power matrix_rank "
                "matrix_transpose outer pinv qr slogdet solve svd svdvals tensordot trace vecdot vector_norm").split()
    assert set(standard) <= set(linalg.__all__)
    for name in linalg.__all__:
        assert name in ("eig", "eigvals") or getattr(linalg, name) is getattr(np.linalg, name)
        assert inspect.isclass(getattr(linalg, name)) or callable(getattr(linalg, name))
