"""NumPy's functions on traced arrays give what NumPy gives: values, shapes, dtypes; and derivatives."""

import numpy as np
import pytest
from support import assert_same, reference

import chainrule.numpy as cnp
from chainrule import losses, nn, runtime
from chainrule.autodiff import grad
from chainrule.check import check_grads
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError, TracedValueError
from chainrule.trace import FUNCTIONS, Tracer, trace

rng = np.random.default_rng(3)
V = rng.normal(size=7)
W = rng.normal(size=7)
P = rng.uniform(0.2, 0.9, 7)
M = rng.normal(size=(3, 4))
N = rng.normal(size=(4, 5))
T = rng.normal(size=(2, 3, 4))
S = rng.normal(size=(4, 4))
I = np.array([3, 0, -2, 1])  # noqa: E741
B = np.array([True, False, True, True])
K = np.arange(12, dtype=np.int32).reshape(3, 4) - 5
NAN = np.array([1.0, np.nan, -2.0, 4.0])
SMOOTH, FLAT = True, False  # whether a derivative is checked


def case(function, *args, grads=SMOOTH):
    return pytest.param(function, args, grads, id=f"line{function.__code__.co_firstlineno}")


REDUCTIONS = [
    case(lambda x: np.sum(x), T),
    case(lambda x: np.sum(x, axis=1), T),
    case(lambda x: np.sum(x, axis=(0, -1), keepdims=True), T),
    case(lambda x: np.sum(x, 0, initial=2.5), M),
    case(lambda x: np.sum(x, axis=()), M),
    case(lambda x: x.sum(0), M),
    case(lambda x: np.sum(x), K, grads=FLAT),
    case(lambda x: np.sum(x > 0, axis=1), M, grads=FLAT),
    case(lambda x: np.sum(x, dtype=np.float32), M, grads=FLAT),
    case(lambda x: np.add.reduce(x), M),
    case(lambda x: np.multiply.reduce(x, axis=1), M),
    case(lambda x: np.maximum.reduce(x, axis=None), M),
    case(lambda x: np.logical_or.reduce(x > 1), M, grads=FLAT),
    case(lambda x: np.prod(x), V),
    case(lambda x: np.prod(x, axis=(0, 2)), T),
    case(lambda x: np.prod(x, axis=0), K, grads=FLAT),
    case(lambda x: np.max(x), T),
    case(lambda x: np.max(x, axis=1, keepdims=True), T),
    case(lambda x: np.amax(x, axis=-1), T),
    case(lambda x: np.max(x[:0], axis=0, initial=-3.0), M),
    case(lambda x: np.max(x, initial=0.5), M),
    case(lambda x: np.min(x, axis=(0, 1)), T),
    case(lambda x: x.min(), K, grads=FLAT),
    case(lambda x: np.ptp(x, axis=0), M),
    case(lambda x: np.mean(x), T),
    case(lambda x: np.mean(x, axis=1, keepdims=True), T),
    case(lambda x: np.mean(x), K, grads=FLAT),
    case(lambda x: x.mean(axis=0), M.astype(np.float32), grads=FLAT),
    case(lambda x: np.var(x), T),
    case(lambda x: np.var(x, axis=0, ddof=1), M),
    case(lambda x: np.var(x, axis=0, correction=1, keepdims=True), M),
    case(lambda x: np.std(x, axis=-1), T),
    case(lambda x: np.average(x, axis=0), M),
    case(lambda x, w: np.average(x, axis=1, weights=w), M, np.array([1.0, 2.0, 3.0, 4.0])),
    case(lambda x: np.all(x > -9), M, grads=FLAT),
    case(lambda x: np.all(x, axis=0), K, grads=FLAT),
    case(lambda x: np.any(x > 1, axis=1), M, grads=FLAT),
    case(lambda x: np.count_nonzero(x, axis=0), K, grads=FLAT),
    case(lambda x: np.argmax(x), T, grads=FLAT),
    case(lambda x: np.argmax(x, axis=1), T, grads=FLAT),
    case(lambda x: np.argmin(x, axis=-1, keepdims=True), T, grads=FLAT),
    case(lambda x: np.argmax(np.round(x)), V, grads=FLAT),
    case(lambda x: np.argmax(x), NAN, grads=FLAT),
    case(lambda x: np.argmin(x), NAN, grads=FLAT),
    case(lambda x: np.argmax(x, axis=0), K, grads=FLAT),
    case(lambda x: x.argmax(1), K > 0, grads=FLAT),
    case(lambda x: np.cumsum(x), M),
    case(lambda x: np.cumsum(x, axis=1), T),
    case(lambda x: np.cumsum(x), K, grads=FLAT),
    case(lambda x: np.cumprod(x), V),
    case(lambda x: np.cumprod(x, axis=0), K, grads=FLAT),
    case(lambda x: np.add.accumulate(x), M),
    case(lambda x: np.maximum.accumulate(x), M),
    case(lambda x: np.minimum.accumulate(x, axis=1), K, grads=FLAT),
    case(lambda x: np.cumulative_sum(x, axis=0, include_initial=True), M),
    case(lambda x: np.cumulative_prod(x), V),
    case(lambda x: np.logaddexp.reduce(x, axis=0), M),
    case(lambda x: np.nansum(x), NAN, grads=FLAT),
    case(lambda x: np.nanmean(x), NAN, grads=FLAT),
    case(lambda x: np.nanmax(x), NAN, grads=FLAT),
    case(lambda x: np.nanmin(x), NAN, grads=FLAT),
    case(lambda x: np.nanprod(x), NAN, grads=FLAT),
    case(lambda x: np.sum(x, axis=1, where=[True, False, True, True], initial=2.0), M),
    case(lambda x: np.prod(x, axis=0, where=x > 0), M),
    case(lambda x: np.max(x, axis=1, where=x < 1, initial=-0.5), M),
    case(lambda x: np.min(x, where=x > 2, initial=0, keepdims=True), K, grads=FLAT),
    case(lambda x: np.mean(x, axis=1, where=x > -0.5), M),
    case(lambda x: np.var(x, axis=1, where=x > -0.5, ddof=1), M),
    case(lambda x: np.std(x, axis=0, where=np.array([[True], [False], [True]])), M),
    case(lambda x, w: np.all(x > 0, axis=1, where=w), M, M > 0, grads=FLAT),
    case(lambda x, w: np.any(x > 0, axis=1, where=w), M, M < 0, grads=FLAT),
    case(lambda x, w: np.nansum(x, where=w, initial=1.0), NAN, B, grads=FLAT),
    case(lambda x, w: np.nanmean(x, where=w), NAN, B, grads=FLAT),
    case(lambda x, w: np.nanvar(x, where=w), NAN, B, grads=FLAT),
    case(lambda x, w: np.nanmax(x, where=w, initial=-7.0), NAN, B, grads=FLAT),
    case(lambda x: np.trapezoid(x, axis=0), M),
    case(lambda y, x: np.trapezoid(y, x), V, np.sort(W)),
]

SHAPES = [
    case(lambda x: np.reshape(x, (4, -1)), T),
    case(lambda x: x.reshape(6, 4), T),
    case(lambda x: x.reshape((-1,)), T),
    case(lambda x: np.reshape(x, (4, 6), order="F"), T),
    case(lambda x: np.ravel(x), T),
    case(lambda x: np.ravel(x, order="F"), T),
    case(lambda x: x.flatten(), M),
    case(lambda x: np.transpose(x), T),
    case(lambda x: np.transpose(x, (1, 2, 0)), T),
    case(lambda x: x.transpose(2, 0, 1), T),
    case(lambda x: x.T, M),
    case(lambda x: x.mT, T),
    case(lambda x: np.matrix_transpose(x), T),
    case(lambda x: np.permute_dims(x, (2, 1, 0)), T),
    case(lambda x: np.swapaxes(x, 0, -1), T),
    case(lambda x: np.moveaxis(x, 0, -1), T),
    case(lambda x: np.moveaxis(x, (0, 1), (-1, 0)), T),
    case(lambda x: np.rollaxis(x, 2), T),
    case(lambda x: np.rollaxis(x, 0, 3), T),
    case(lambda x: np.expand_dims(x, (0, -1)), M),
    case(lambda x: np.squeeze(x[:, None, :1]), M),
    case(lambda x: np.squeeze(x[:, None], axis=1), M),
    case(lambda x: np.broadcast_to(x, (2, 3, 4)), M),
    case(lambda x: np.broadcast_to(x[:, :1], (3, 5)), M),
    case(lambda x, y: np.broadcast_arrays(x, y)[1], M, V[:4]),
    case(lambda x: np.atleast_1d(x[0]), V),
    case(lambda x: np.atleast_2d(x), V),
    case(lambda x: np.atleast_3d(x), V),
    case(lambda x: np.atleast_3d(x), M),
    case(lambda x: np.full((2,), np.size(x) + np.ndim(x) + np.shape(x)[0]) * x[0, :2], M),
]

ASSEMBLY = [
    case(lambda x, y: np.concatenate([x, y]), M, K.astype(float)),
    case(lambda x, y: np.concatenate((x, y), axis=-1), M, S[:3]),
    case(lambda x: np.concatenate([x, K]), M.astype(np.float32), grads=FLAT),
    case(lambda x, y: np.concatenate([x, y], axis=None), M, V),
    case(lambda x: np.concat([x, np.ones((3, 1))], axis=1), M),
    case(lambda x, y: np.stack([x, y]), V, W),
    case(lambda x, y: np.stack([x, y], axis=-1), V, W),
    case(lambda x, y: np.vstack([x, y]), M, V[:4]),
    case(lambda x, y: np.hstack([x, y]), V, W),
    case(lambda x, y: np.hstack([x, y]), M, M[:, :1]),
    case(lambda x, y: np.dstack([x, y]), M, M),
    case(lambda x, y: np.column_stack([x, y]), V, W),
    case(lambda x, y: np.append(x, y), M, V),
    case(lambda x: np.split(x, 2, axis=1)[1], M),
    case(lambda x: np.split(x, [1, 3])[1], S),
    case(lambda x: np.array_split(x, 3)[0], V),
    case(lambda x: np.array_split(x, 3)[2], V),
    case(lambda x: np.vsplit(x, 2)[0] + np.hsplit(x, 2)[0].T, S),
    case(lambda x: np.dsplit(x, 2)[1], T),
    case(lambda x: np.unstack(x, axis=1)[2], M),
    case(lambda x: np.tile(x, 3), V),
    case(lambda x: np.tile(x, (2, 1, 2)), M),
    case(lambda x: np.tile(x, 2), M),
    case(lambda x: np.repeat(x, 3), V),
    case(lambda x: np.repeat(x, 2, axis=1), M),
    case(lambda x: np.repeat(x, [2, 0, 3], axis=0), M),
    case(lambda x: np.flip(x), M),
    case(lambda x: np.flip(x, axis=1), T),
    case(lambda x: np.flipud(x) + np.fliplr(x), M),
    case(lambda x: np.rot90(x), M),
    case(lambda x: np.rot90(x, 2), M),
    case(lambda x: np.rot90(x, -1, axes=(1, 2)), T),
    case(lambda x: np.roll(x, 2), V),
    case(lambda x: np.roll(x, -1), M),
    case(lambda x: np.roll(x, (1, 2), axis=(0, 1)), M),
    case(lambda x: np.pad(x, 1), M),
    case(lambda x: np.pad(x, ((0, 1), (2, 0)), constant_values=3.0), M),
    case(lambda x: np.pad(x, (2, 1), mode="edge"), V),
    case(lambda x: np.pad(x, 2, mode="reflect"), M),
    case(lambda x: np.pad(x, 2, mode="wrap"), V),
    case(lambda x: np.pad(x, 2, mode="symmetric"), V),
    case(lambda x: np.pad(x, 1, constant_values=x[0, 0]), M),
    case(lambda x: np.pad(x, ((1, 2), (0, 3)), "linear_ramp", end_values=((1, 2), (3, 4))), M),
    case(lambda x: np.pad(x, 2, "linear_ramp"), K, grads=FLAT),
    case(lambda x: np.pad(x, (2, 1), "mean", stat_length=(2, 3)), M),
    case(lambda x: np.pad(x, 1, "mean"), K, grads=FLAT),
    case(lambda x: np.pad(x, ((0, 0), (1, 2)), "median"), M),
    case(lambda x: np.pad(x, 2, "maximum"), M),
    case(lambda x: np.pad(x, 2, "minimum", stat_length=2), M),
    case(lambda x: np.pad(x, (6, 2), "reflect", reflect_type="odd"), M),
    case(lambda x: np.pad(x, 5, "symmetric", reflect_type="odd"), M),
    case(lambda x: np.pad(x[:1], 2, "reflect", reflect_type="odd"), M),
    case(lambda x, v: np.insert(x, 1, v, axis=1), M, V[:3]),
    case(lambda x, v: np.insert(x, [0, 2, 2], v), V, W[:3]),
    case(lambda x: np.insert(x, slice(0, 4, 2), 9, axis=1), K, grads=FLAT),
    case(lambda x: np.extract(K > 0, x), M),
    case(lambda x: np.array_equal(x, x, equal_nan=True), NAN, grads=FLAT),
    case(lambda x: np.array_equal(x, x), NAN, grads=FLAT),
    case(lambda x: np.einsum("ij->i", x, dtype=np.float64), K, grads=FLAT),
    case(lambda x: np.round(x, -1), K * 5, grads=FLAT),
    case(lambda x: np.square(x), B, grads=FLAT),
    case(lambda x: np.power(x, 2), B, grads=FLAT),
    case(lambda x: np.diff(x), V),
    case(lambda x: np.diff(x, n=2, axis=0), S),
    case(lambda x: np.diff(x, prepend=0.0), M),
    case(lambda x: np.diff(x > 0), V, grads=FLAT),
    case(lambda x: np.ediff1d(x), M),
    case(lambda x: np.ediff1d(x, to_end=[1.0, 2.0], to_begin=x[0, :1]), M),
    case(lambda x: np.delete(x, 1, axis=0), M),
    case(lambda x: np.delete(x, [0, 2, -1]), M),
    case(lambda x: np.delete(x, slice(None, None, 2), axis=1), M),
    case(lambda x, i: np.roll(x, i[3], axis=1), M, I, grads=FLAT),
    case(lambda x, i: np.roll(x, i[2]), M, I, grads=FLAT),
    case(lambda x: np.repeat(x, np.array([3])), V),
    case(lambda x: np.tile(x[:0], (2, 3)), V, grads=FLAT),
]

PRODUCTS = [
    case(lambda a, b: a @ b, M, N),
    case(lambda a: a @ np.ones((4, 2)), M),
    case(lambda b: np.ones((2, 4)) @ b, N),
    case(lambda a, b: np.matmul(a, b), T, N),
    case(lambda a, b: a @ b, V, W),
    case(lambda a, b: a @ b, M, V[:4]),
    case(lambda a, b: a @ b, V[:3], M),
    case(lambda a, b: a @ b, T, V[:4]),
    case(lambda a, b: a @ b, V[:3], T),
    case(lambda a, b: a[:, None] @ b, T, T.transpose(0, 2, 1)),
    case(lambda a, b: a @ b, K, K.T.copy(), grads=FLAT),
    case(lambda a, b: a @ b, M.astype(np.float32), K.T.astype(np.float64), grads=FLAT),
    case(lambda a: a @ a.T, M),
    case(lambda a, b: a @ b, M > 0, N > 0, grads=FLAT),
    case(lambda a, b: np.dot(a, b), M, N),
    case(lambda a, b: np.dot(a, b), V, W),
    case(lambda a, b: a.dot(b), T, N),
    case(lambda a: np.dot(a, 3.0), M),
    case(lambda a, b: np.inner(a, b), M, S),
    case(lambda a, b: np.vdot(a, b), M, K.astype(float)),
    case(lambda a, b: np.outer(a, b), V, M),
    case(lambda a, b: np.multiply.outer(a, b), V, M),
    case(lambda a, b: np.tensordot(a, b), T, T[0].reshape(3, 4)),
    case(lambda a, b: np.tensordot(a, b, axes=1), M, N),
    case(lambda a, b: np.tensordot(a, b, axes=0), V, V),
    case(lambda a, b: np.tensordot(a, b, axes=([0, 1], [1, 0])), T, M[:, :2]),
    case(lambda a, b: np.vecdot(a, b), M, M),
    case(lambda a, b: np.vecdot(a, b), T, V[:4]),
    case(lambda a, b: np.matvec(a, b), T, V[:4]),
    case(lambda a, b: np.vecmat(a, b), V[:3], T),
    case(lambda a, b: np.kron(a, b), M, S),
    case(lambda a, b: np.kron(a, b), V, M),
    case(lambda a, b: np.cross(a, b), M[:, :3], S[:3, :3]),
    case(lambda a, b: np.linalg.cross(a, b, axis=0), M, S[:3]),
    case(lambda a, b, c: np.linalg.multi_dot([a, b, c]), V[:3], M, N),
    case(lambda a: np.linalg.matrix_power(a, 5), S),
    case(lambda a: np.linalg.matrix_power(a, 0), S),
    case(lambda a, b: np.einsum("ij,jk->ik", a, b), M, N),
    case(lambda a, b: np.einsum("ij,jk", a, b), M, N),
    case(lambda a, b: np.einsum("bij,kj->bik", a, b), T, M),
    case(lambda a, b: np.einsum("bij,bij->b", a, b), T, T),
    case(lambda a, b: np.einsum("i,j->ji", a, b), V, W),
    case(lambda a, b: np.einsum("ij,ij->", a, b), M, M),
    case(lambda a, b: np.einsum("ij,j->ij", a, b), M, V[:4]),
    case(lambda a: np.einsum("ij->ji", a), M),
    case(lambda a: np.einsum("ij->j", a), M),
    case(lambda a: np.einsum("ii->i", a), S),
    case(lambda a: np.einsum("ii", a), S),
    case(lambda a, b: np.einsum("...ij,jk->...ik", a, b), T, N),
    case(lambda a, b: np.einsum("...i,...i", a, b), T, M),
    case(lambda a, b, c: np.einsum("ij,jk,kl->il", a, b, c), M, N, N.T.copy()),
    case(lambda a, b, c: np.einsum("i,i,i->i", a, b, c), V, W, P),
    case(lambda a, b: np.einsum(a, [0, 1], b, [1, 2], [2, 0]), M, N),
    case(lambda a, b: np.einsum("ij,ik->jk", a, b[:, :1]), M, S[:3]),
    case(lambda a, b: np.einsum("ij,kl->", a, b), M, N),
    case(lambda x: np.linalg.norm(x), M),
    case(lambda x: np.linalg.norm(x, axis=1), M),
    case(lambda x: np.linalg.norm(x, 1, axis=0, keepdims=True), M),
    case(lambda x: np.linalg.norm(x, np.inf, axis=0), M),
    case(lambda x: np.linalg.norm(x, 3), V),
    case(lambda x: np.linalg.norm(x, 0), V, grads=FLAT),
    case(lambda x: np.linalg.norm(x, "fro", axis=(0, 1)), T),
    case(lambda x: np.linalg.norm(x, 1), M),
    case(lambda x: np.linalg.norm(x, -np.inf, axis=(2, 0)), T),
    case(lambda x: np.linalg.vector_norm(x, axis=(0, 2)), T),
    case(lambda x: np.linalg.vector_norm(x, ord=1, keepdims=True), T),
    case(lambda x: np.linalg.matrix_norm(x), T),
    case(lambda x: np.trace(x) + np.trace(x, offset=1), S),
    case(lambda x: np.linalg.trace(x), T),
]

SELECTION = [
    case(lambda x: np.where(x > 0, x, -2 * x), M),
    case(lambda x: np.where(B, x, 0.0), M),
    case(lambda x: np.where(x, 1, 2), K, grads=FLAT),
    case(lambda x: np.where(x > 0, x, np.float32(2)), K, grads=FLAT),
    case(lambda x: np.select([x > 1, x > 0], [x * x, 3 * x], 7.0), M),
    case(lambda x: np.take(x, I), V),
    case(lambda x: np.take(x, I, axis=1), M),
    case(lambda x: np.take(x, [[0, 5], [9, -7]], mode="wrap"), V),
    case(lambda x: np.take(x, [0, 50], mode="clip"), V),
    case(lambda x: np.take_along_axis(x, np.argsort(M, axis=1), axis=1), M),
    case(lambda x: np.take_along_axis(x, np.array([[0, 2, 1, -1]]), axis=0), M),
    case(lambda x: np.take_along_axis(x, np.argmax(x, axis=1, keepdims=True), axis=1), T),
    case(lambda x: np.compress([True, False, True], x, axis=0), M),
    case(lambda x: np.tril(x), M),
    case(lambda x: x[np.tril_indices_from(x)], M),
    case(lambda x: x[np.triu_indices_from(x, 1)], M),
    case(lambda x: x[np.diag_indices_from(x)], S),
    case(lambda i: np.stack(np.unravel_index(abs(i), (2, 3))), I, grads=FLAT),
    case(lambda i: np.stack(np.unravel_index(abs(i), (2, 3), order="F")), I, grads=FLAT),
    case(lambda x: np.triu(x, 1), T),
    case(lambda x: np.tril(x, -1), S),
    case(lambda x: np.triu(x), V),
    case(lambda x: np.diagonal(x), M),
    case(lambda x: np.diagonal(x, offset=-1, axis1=1, axis2=2), T),
    case(lambda x: np.diagonal(x, 2), M),
    case(lambda x: np.diagonal(x, 9), M),
    case(lambda x: np.linalg.diagonal(x), T),
    case(lambda x: np.diag(x), V),
    case(lambda x: np.diag(x, -2), V),
    case(lambda x: np.diag(x, 1), M),
    case(lambda x: np.diagflat(x), M),
    case(lambda x: x[1], M),
    case(lambda x: x[-1, 2], M),
    case(lambda x: x[:, 1:3], M),
    case(lambda x: x[::-1, ::2], M),
    case(lambda x: x[..., None, 0], T),
    case(lambda x: x[None, 1, ..., ::-2], T),
    case(lambda x: x[5:1], V),
    case(lambda x: x[5:1:-2], V),
    case(lambda x: x[I], V),
    case(lambda x: x[[0, 2]], M),
    case(lambda x: x[:, I % 3], T),
    case(lambda x: x[np.arange(3), [0, 3, 1]], M),
    case(lambda x: x[[[0, 1]], :, I[:2]], T),
    case(lambda x: x[0, :, I], T),
    case(lambda x: x[:, [0, 2], 1:, None], T),
    case(lambda x: x[:, 1, I], T),
    case(lambda x: x[:, [1], I], T),
    case(lambda x: x[B], S),
    case(lambda x: x[:, B], M),
    case(lambda x: x[K > 2], M),
    case(lambda x, i: x[i], V, I, grads=FLAT),
    case(lambda x, i: x[i[2]], M, I, grads=FLAT),
    case(lambda x: [row * 2 for row in x][1], M),
]

ELEMENTWISE = [
    case(lambda x: np.square(x) + x**3 - x**-1 + x**0 + x**1, P),
    case(lambda x: x**2, K, grads=FLAT),
    case(lambda x: x**9, K, grads=FLAT),
    case(lambda x: x**2.5 + 2**x + np.power(x, 0.5) + x**-0.5, P),
    case(lambda x, y: x**y + np.float_power(x, y) + np.pow(y, x), P, P[::-1].copy()),
    case(lambda x: np.float_power(x, 2), P.astype(np.float32), grads=FLAT),
    case(lambda x: np.reciprocal(x) + np.positive(x) - np.negative(x) + +x, P),
    case(lambda x: np.cbrt(x), V),
    case(lambda x, y: np.hypot(x, y), V, W),
    case(lambda x, y: np.fmod(x, y), V, P),
    case(lambda x, y: np.fmod(x, y), K, np.int32(3), grads=FLAT),
    case(lambda x, y: np.divmod(x, y)[1] + divmod(x, y)[0], V, P),
    case(lambda x: np.modf(x)[0] * 2 + np.modf(x)[1], 3 * V),
    case(lambda x, y: np.copysign(x, y), V, W),
    case(lambda x: np.heaviside(x, 0.5), NAN, grads=FLAT),
    case(lambda x: np.ldexp(x, 3), V),
    case(lambda x: np.floor(x) + np.ceil(x) + np.trunc(x) + np.fix(x) + np.rint(x), 3 * V),
    case(lambda x: np.floor(x) + np.trunc(x), K, grads=FLAT),
    case(lambda x: np.round(x, 2), V, grads=FLAT),
    case(lambda x: x.round(), 5 * V),
    case(lambda x: np.round(100 * x, -1), V, grads=FLAT),
    case(lambda x, y: np.logaddexp(x, y) + np.logaddexp2(x, y), V, W),
    case(lambda x: np.logaddexp(x, x), V),
    case(lambda x: np.logaddexp(x, -np.inf), V),
    case(lambda x: np.radians(x) + np.deg2rad(x) + np.degrees(x) + np.rad2deg(x), V),
    case(lambda x: np.sinc(x), V),
    case(lambda x: np.sinc(0.001 * x), V),
    case(lambda x: np.sinc(0 * x), V),
    case(lambda x, y: np.logical_and(x > 0, y) | np.logical_or(x > 1, y) ^ np.logical_xor(x > 0, y), V, W, grads=FLAT),
    case(lambda x: np.logical_not(x), K, grads=FLAT),
    case(lambda x, y: np.isclose(x, y), NAN, NAN + 1e-9, grads=FLAT),
    case(lambda x, y: np.isclose(x, y, equal_nan=True), NAN, NAN, grads=FLAT),
    case(lambda x, y: np.allclose(x, y), V, V, grads=FLAT),
    case(lambda x, y: np.array_equal(x, y), V, W, grads=FLAT),
    case(lambda x: np.isfinite(x) & ~np.isnan(x) | np.isinf(x) | np.isposinf(x) | np.isneginf(x), NAN, grads=FLAT),
    case(lambda x: np.fmax(x, 0.0) + np.fmin(x, 1.0), NAN, grads=FLAT),
    case(lambda x, y: np.maximum(x, y) + np.minimum(x, 0.0) * np.fmax(x, y), V, W),
    case(lambda x: np.clip(x, -0.5, 0.5), V),
    case(lambda x: np.clip(x, None, 0.5) + x.clip(0.1) + np.clip(x, min=0.2, max=0.3), V),
    case(lambda x: np.clip(x, -2, 2), K, grads=FLAT),
    case(lambda x: np.nan_to_num(x) + np.nan_to_num(x / 0, posinf=3.0, neginf=4.0), NAN, grads=FLAT),
    case(lambda x: np.abs(x) + np.fabs(x) + abs(x) + np.sign(x), V),
    case(lambda x: np.abs(x) + np.sign(x) - x // 3 + x % 3, K, grads=FLAT),
    case(lambda x: np.true_divide(x, 4) + x / 3, K, grads=FLAT),
    case(lambda x: (x << 2) ^ (x >> 1) & 7 | ~x, K, grads=FLAT),
    case(lambda x: 2 - x + 3 * x - 1 / x, P),
    case(lambda x: (x > 1) & (x >= 1) | (x < 0) & (x <= 0) | (x == 1) ^ (x != 2), M, grads=FLAT),
    case(lambda x: np.sin(x) * np.cos(x) + np.tan(x) + np.arcsin(x) + np.acos(x) + np.arctan(x), P),
    case(lambda x, y: np.atan2(x, y) + np.sinh(x) + np.cosh(x) + np.tanh(y), V, W),
    case(lambda x: np.arcsinh(x) + np.arccosh(1 + x) + np.arctanh(x), P),
    case(lambda x: np.exp(x) + np.exp2(x) + np.expm1(x) + np.sqrt(x), P),
    case(lambda x: np.log(x) + np.log2(x) + np.log10(x) + np.log1p(x), P),
    case(lambda x: np.sin(x), K, grads=FLAT),
    case(lambda x: np.add(x, 1, dtype=np.float64), K, grads=FLAT),
    case(lambda x: np.real(x) + np.conjugate(x), V),
    case(lambda x: np.signbit(x) + np.int8(1), V, grads=FLAT),
]

CREATION = [
    case(lambda x: np.zeros_like(x) + np.ones_like(x) + np.full_like(x, 3) + x, V),
    case(lambda x: np.ones_like(x, dtype=np.int32), M, grads=FLAT),
    case(lambda x: np.zeros_like(x, shape=(2, 2)), M, grads=FLAT),
    case(lambda x: np.full_like(x, x[0]), V),
    case(lambda x: np.empty_like(x) * 0, V, grads=FLAT),
    case(lambda x: np.copy(x) + x.copy(), V),
    case(lambda x: np.astype(x, np.float32), V, grads=FLAT),
    case(lambda x: x.astype(int), 5 * V, grads=FLAT),
    case(lambda x: np.linspace(x[0], x[1], 5), V),
    case(lambda x: np.linspace(0, x, 4, endpoint=False), V),
    case(lambda x: np.linspace(x[0], 2.0, 3, retstep=True)[1], V),
    case(lambda x: np.linspace(x[0], x[1], 1), V),
    case(lambda x: np.linspace(x, 2.0, 3, axis=-1), V),
    case(lambda x: np.linspace(x[0], 5, 4, dtype=int, device="cpu"), V - 3, grads=FLAT),
    case(lambda x, y: np.meshgrid(x, y)[0], M, V),
    case(lambda x: np.polyadd(x, x[:2]), V),
    case(lambda x, y: np.polysub(x[:2], y), V, W),
    case(lambda x, y: np.polymul(x, y), V, W[:3]),
    case(lambda x: np.polymul(x, x), I, grads=FLAT),
    case(lambda x: np.polyder(x, 2), V),
    case(lambda x: np.polyder(x, 9), V, grads=FLAT),
    case(lambda x: np.polyint(x, 2, k=[1.0, 2.0]), V),
    case(lambda x, k: np.polyint(x, 2, k), V, W[0]),
    case(lambda x, y: np.polyfit(x, y, 2), np.arange(7.0), V),
    case(lambda y: np.polyfit(np.arange(3), y, 1, w=[1.0, 2.0, 1.0]), M),
    case(lambda x: np.polyfit(x, 2 * x, 1)[:1], np.arange(4), grads=FLAT),
    case(lambda x: np.linalg.matrix_power(x / 0, 0), S, grads=FLAT),
    case(lambda x: np.linalg.lstsq(x, x[:, 0])[2], S, grads=FLAT),
    case(lambda x: np.logspace(x[0], 1.0, 4), P),
    case(lambda x: np.logspace(x, 1.0, 4, endpoint=False, base=2.0, axis=-1), P),
    case(lambda x: np.logspace(0.0, 1.5, 4, base=x), P),
    case(lambda x: np.logspace(0.0, 1.5, 4, base=x, axis=1), P),
    case(lambda x: np.geomspace(x, 3.0, 5), P),
    case(lambda x: np.geomspace(-x, -3.0, 4, endpoint=False, axis=-1), P),
    case(lambda x: np.geomspace(x, 1000, 4), B + 1, grads=FLAT),
    case(lambda x, y: np.block([[x, np.ones((3, 1))], [np.zeros((1, 2)), y[:, :3]]]), M, M[:1]),
    case(lambda x: np.block([x, x]), V),
    case(lambda x: np.block([[x[0], 1.0], [2.0, x[1]]]), V),
    case(lambda x: np.resize(x, (4, 5)), M),
    case(lambda x: np.resize(x, 5), M),
    case(lambda x, y: np.meshgrid(x, y)[0] * np.meshgrid(x, y)[1], V, M[0]),
    case(lambda x, y: np.meshgrid(x, y, indexing="ij", sparse=True)[1], V, M[0]),
    case(lambda x: np.arange(np.size(x)) * x, V),
    case(lambda x: np.zeros(3, dtype=np.result_type(x, np.float32)) + x[:3], V),
]

FAMILIES = {"reductions": REDUCTIONS, "shapes": SHAPES, "assembly": ASSEMBLY, "products": PRODUCTS,
            "selection": SELECTION, "elementwise": ELEMENTWISE, "creation": CREATION}
ALL = [case for cases in FAMILIES.values() for case in cases]


def plain(function, args):
    with np.errstate(all="ignore"):
        return function(*args)


@pytest.mark.parametrize(("function", "args", "grads"), ALL)
def test_recorded_is_what_numpy_gives(function, args, grads):
    expected = plain(function, args)
    assert_same(reference(function, *args), expected, limit=16, scale=16)
    assert isinstance(trace(function, *args).outputs[0].shape, tuple)


@pytest.mark.parametrize(("function", "args", "grads"), [c for c in ALL if c.values[2]])
def test_derivatives(function, args, grads):
    check_grads(function, args, order=2)


@pytest.mark.parametrize("family", FAMILIES)
def test_compiled_is_what_numpy_gives(family):
    cases = [c.values for c in FAMILIES[family]]

    def everything(all_args):
        return [np.asarray(f(*args)) if not isinstance(out := f(*args), Tracer) else out
                for (f, _, _), args in zip(cases, all_args, strict=True)]
    out = runtime.jit(everything)([args for _, args, _ in cases])
    for i, ((function, args, _), result) in enumerate(zip(cases, out, strict=True)):
        assert_same(result, plain(function, args), limit=16, scale=64, what=f"{family} {i}")


@pytest.mark.parametrize("family", FAMILIES)
def test_compiled_derivatives_are_reference(family):
    cases = [(f, args) for f, args, grads in (c.values for c in FAMILIES[family]) if grads]

    def weighted(function, args):
        out = function(*args)
        return np.sum(out * np.cos(np.arange(np.size(out))).reshape(np.shape(out)))

    def everything(all_args):
        return [grad(lambda args, f=f: weighted(f, args))(args) for (f, _), args in zip(cases, all_args, strict=True)]
    args = [args for _, args in cases]
    for (function, _), compiled, wanted in zip(cases, runtime.jit(everything)(args), everything(args), strict=True):
        for c, w in zip(compiled, wanted, strict=True):
            assert_same(c, w, limit=256, scale=256, what=f"line {function.__code__.co_firstlineno}")


# What NumPy has not, or not with these options, or not as the array API standard has it.
OWN = frozenset(
    "__array_api_version__ argsort argwhere array asarray at bincount clip expm1 finfo flatnonzero floor_divide "
    "from_dlpack full iinfo logsumexp nonzero put_along_axis repeat reshape sign sort tanh unique unique_all "
    "unique_counts unique_inverse unique_values vecdot".split())


@pytest.mark.parametrize("name", [n for n in cnp.__all__ if n not in ("linalg", "fft")])
def test_names_are_numpys(name):
    assert (name in OWN) != (getattr(cnp, name) is getattr(np, name, None))


def test_logsumexp():
    x = np.array([[1000.0, 1000.0], [-np.inf, -np.inf], [0.0, -1e4]])
    expected = [1000 + np.log(2), -np.inf, 0.0]
    np.testing.assert_allclose(cnp.logsumexp(x, axis=1), expected)
    np.testing.assert_allclose(reference(lambda x: cnp.logsumexp(x, axis=1), x), expected)
    check_grads(lambda x: cnp.logsumexp(x, axis=0, keepdims=True), (M,), order=2)


def test_asarray_of_traced_numbers():
    f = lambda x: np.sum(cnp.asarray([[x[0], 1.0], [2.0, x[1] * x[0]]]) ** 2)
    np.testing.assert_allclose(grad(f)(V[:2]), [2 * V[0] + 2 * V[0] * V[1]**2, 2 * V[1] * V[0]**2])
    g = lambda x: np.sum(cnp.full((2, 3), x) * x)
    np.testing.assert_allclose(grad(g)(2.0), 24.0)


def test_shapes_are_plain_python_under_recording():
    def f(x):
        assert len(x) == 3 and np.shape(x) == (3, 4) and np.ndim(x) == 2 and np.size(x, 0) == 3
        a, b, c = x
        return a + b * c
    assert_same(reference(f, M), f(M))


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(("function", "message"), [
    (lambda x: np.piecewise(x, [x > 0], [1]), "np.piecewise cannot be recorded"),
    (lambda x: np.apply_along_axis(np.sum, 0, x), "np.apply_along_axis cannot be recorded"),
    (lambda x: np.polydiv(x[0], x[0]), r"nearest name"),
    (lambda x: np.roots(x[0]), r"np.roots cannot be recorded: its result's shape or dtype depends on values"),
    (lambda x: np.union1d(x, x), r"shape of np.union1d depends on"),
    (lambda x: np.unique(x), r"shape of np.unique\(x\) depends on"),
    (lambda x: np.add.at(x, 0, x), r"np.add.at changes an array in place"),
    (lambda x: np.put(x, [0], 1.0), r"cr\.at"),
    (lambda x: np.fill_diagonal(x, 1.0), r"cr\.at\(x, np\.diag_indices_from"),
    (lambda x: np.add(x, 1.0, where=x > 0), "where= cannot be recorded"),
    (lambda x: np.add(x, 1.0, dtype=np.int64), "dtype=int64 for an array of float64"),
    (lambda x: np.sum(x, out=np.zeros(())), "out="),
    (lambda x: np.add(x, 1.0, out=np.zeros((3, 4))), "out="),
    (lambda x: np.concatenate([x, x], casting="no"), "casting cannot be recorded"),
    (lambda x: np.where(x > 0), "depends on values"),
    (lambda x: x[x > 0], "depends on values"),
    (lambda x: x.nonsense, "no attribute 'nonsense'"),
])
def test_what_cannot_be_recorded_says_so(function, message):
    with pytest.raises((ChainruleTypeError, AttributeError), match=f"(?i){message}"):
        trace(function, M)


def test_arrays_of_traced_elements_say_how():
    with pytest.raises(TracedValueError, match=r"np\.stack"):
        trace(lambda x: np.array([x[0], x[1]]), M)
    with pytest.raises(TracedValueError, match="not np.sum"):
        grad(lambda x: np.sum(np.asarray(x)))(M)


def test_changing_an_array_in_place_says_so():
    def add(x):
        y = np.zeros((3, 4))
        y += x
        return y

    def assign(x):
        y = np.zeros(4)
        y[0] = x[0, 0]
        return y

    def item(x):
        x[0] = 1.0
        return x
    for function in (add, assign, item):
        for run in (lambda f: trace(f, M), lambda f: grad(lambda x: np.sum(f(x)))(M)):
            with pytest.raises((ChainruleTypeError, ValueError, TracedValueError)) as caught:
                run(function)
            # NumPy wraps the error of an assignment in its own
            error = caught.value if function is not assign else caught.value.__cause__
            assert "test_numpy_functions.py" in str(error)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint64"])
def test_narrow_positions_reach_all_elements(dtype):
    """The arithmetic that makes one position of several must not overflow in the dtype of the positions."""
    x = np.arange(30.0 * 40.0).reshape(30, 40) ** 0.5
    i, j = (np.arange(20) * k % n for k, n in ((7, 30), (11, 40)))
    i, j = i.astype(dtype), j.astype(dtype)
    columns = np.stack([j[:5]] * 30)

    def every(x, i, j, columns):
        return [x[i, j], np.take(x, j), np.take(x, i, axis=0, mode="wrap"), np.take_along_axis(x, columns, 1),
                cnp.at(x, (i, j)).add(1.0), cnp.put_along_axis(x, columns, 0.0, 1), cnp.at(np.ravel(x), j).set(9.0)]
    signed = [] if dtype.startswith("u") else [lambda x, i: x[-1 - i], lambda x, i: np.take(np.ravel(x), -1 - i)]
    for result, wanted in zip(runtime.jit(every)(x, i, j, columns), every(x, i, j, columns), strict=True):
        assert_same(result, wanted)
    for function in signed:
        assert_same(runtime.jit(function)(x, i), function(x, i))


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_narrow_labels_of_many_classes(dtype):
    labels, scores = np.array([0, 5, 44, 100]), rng.normal(size=(4, 300)).astype(np.float32)
    for run in (lambda f: f, runtime.jit):
        same = run(lambda labels: nn.one_hot(labels, 300))(labels.astype(dtype))
        np.testing.assert_array_equal(same, np.eye(300)[labels])
        crossed = run(losses.SparseCategoricalCrossentropy(from_logits=True))
        assert_same(crossed(labels.astype(dtype), scores), crossed(labels, scores))


@pytest.mark.parametrize("method", ["lower", "nearest", "inverted_cdf", "midpoint", "linear"])
def test_the_dtype_of_quantiles(method):
    for dtype in ("int32", "uint8", "float32"):
        x = np.arange(7, dtype=dtype)
        for q in (0.3, np.float32(0.4), np.array([0.1, 0.9])):
            result = reference(lambda x, q=q: np.quantile(x, q, method=method), x)
            assert result.dtype == np.quantile(x, q, method=method).dtype
            np.testing.assert_allclose(result, np.quantile(x, q, method=method), rtol=1e-6)


@pytest.mark.parametrize(("function", "error", "message"), [
    (lambda x: x.reshape(5, -1), ShapeError, "12 elements"),
    (lambda x: x @ x, ShapeError, r"4 columns against 3 rows"),
    (lambda x: x + np.ones(5), ShapeError, "do not broadcast"),
    (lambda x: np.concatenate([x, x[:, :2]]), ShapeError, "cannot concatenate"),
    (lambda x: np.stack([x, x[0]]), ShapeError, "cannot stack"),
    (lambda x: np.sum(x, axis=2), np.exceptions.AxisError, "axis 2"),
    (lambda x: np.max(x[:0]), ShapeError, "does not exist"),
    (lambda x: x[3], IndexError, "index 3"),
    (lambda x: x[[0, 3]], IndexError, "index 3"),
    (lambda x: x[0, 0, 0], ShapeError, "3 indices"),
    (lambda x: x[1.5], IndexError, "not an integer"),
    (lambda x: np.einsum("ij,jk->ik", x, x), ShapeError, "extents"),
    (lambda x: -(x > 0), ChainruleTypeError, "neg got an array of dtype bool"),
    (lambda x: np.power(x.astype(int), -2), ArgumentError, "whole"),
    (lambda x: np.insert(x, np.argmax(x), 1.0), ArgumentError, "traced positions"),
    (lambda x: np.max(x, where=x > 0), ArgumentError, "without initial="),
    (lambda x: np.pad(x, 1, "nearest"), ArgumentError, "mode='nearest'"),
    (lambda x: np.block([[x, x], x]), ArgumentError, "depths"),
    (lambda x: np.linalg.outer(x, x), ShapeError, "vectors"),
    (lambda x: np.linalg.matrix_power(x @ x.T, 0.5), TypeError, "integer"),
    (lambda x: np.polyint(x[0], 3, [1, 2]), ShapeError, "2 constants"),
    (lambda x: np.polyder(x[0], -1), ArgumentError, "order -1"),
    (lambda x: np.polyfit(x[0], x[0], 1, full=True), ArgumentError, "coefficients alone"),
    (lambda x: np.polyfit(x[0], x[1, :2], 1), ShapeError, "points of shapes"),
    (lambda x: np.resize(x, (2, -1)), ArgumentError, "0 or more"),
    (lambda x: np.pad(x, -1), ArgumentError, "0 or more"),
    (lambda x: np.pad(x[:0], 1, "edge"), ShapeError, "empty"),
    (lambda x: np.pad(x, 1, "mean", stat_length=0), ArgumentError, "stat_length=0"),
    (lambda x: np.pad(x, 1, "reflect", reflect_type="up"), ArgumentError, "'even' or 'odd'"),
])
def test_wrong_arguments_say_so(function, error, message):
    with pytest.raises(error, match=f"(?i){message}"):
        trace(function, M)


def test_every_rule_belongs_to_a_numpy_function():
    for function in FUNCTIONS:
        target = function[0] if isinstance(function, tuple) else function
        assert callable(target)


@pytest.mark.parametrize("function", [np.square, np.conj, np.reciprocal, np.angle], ids=lambda f: f.__name__)
def test_numbers_of_bools(function):
    x = np.array([True, True])
    np.testing.assert_array_equal(runtime.jit(function)(x), function(x), strict=True)


def test_what_numpy_has_no_loop_for_is_refused_while_recording():
    x = np.array([True, True])
    np.testing.assert_array_equal(runtime.jit(np.fmod)(x, x), np.fmod(x, x), strict=True)
    for call in (lambda x: np.positive(x), lambda x: np.ldexp(x, 1.5), lambda x: np.matvec(x, x),
                 lambda x: np.vecmat(x, x)):
        with pytest.raises((TypeError, ValueError)):
            call(x)
        with pytest.raises((TypeError, ValueError)):
            runtime.jit(call)(x)
