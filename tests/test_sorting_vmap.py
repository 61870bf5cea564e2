"""Sorting, searching, counting and updates under vmap: what a Python loop gives, plainly and compiled."""

import numpy as np
import pytest
from support import assert_same

import chainrule as cr
import chainrule.numpy as cnp

rng = np.random.default_rng(2)
X = rng.normal(size=(4, 3, 5))
V = rng.normal(size=(4, 6))
I = rng.integers(0, 6, (4, 3))  # noqa: E741

CASES = {
    "sort": (lambda x: np.sort(x, axis=0), X),
    "argsort": (lambda x: np.argsort(x, axis=None), X),
    "lexsort": (lambda v: np.lexsort((v, np.round(v))), V),
    "quantile": (lambda x: np.quantile(x, [0.2, 0.7], axis=1), X),
    "median": (np.median, X),
    "nanmedian": (np.nanmedian, V),
    "searchsorted": (lambda v: np.searchsorted(np.sort(v), [0.0, 1.0]), V),
    "searchsorted in one row": (lambda v: np.searchsorted(np.array([-1.0, 0.0, 1.0]), v), V),
    "digitize": (lambda v: np.digitize(v, [-1.0, 0, 1]), V),
    "interp": (lambda v: np.interp(v, [-1.0, 0, 1], [2.0, 3.0, 9.0]), V),
    "interp between": (lambda v: np.interp([0.3, 0.1], np.sort(v), v), V),
    "cumsum": (lambda x: np.cumsum(x, axis=1), X),
    "cumprod": (np.cumprod, V),
    "histogram": (lambda v: np.histogram(v, bins=3)[0], V),
    "bincount": (lambda i: cnp.bincount(i, length=6), I),
    "unique": (lambda v: cnp.unique_values(np.round(v), size=4), V),
    "flatnonzero": (lambda v: cnp.flatnonzero(v > 0, size=4), V),
    "isin": (lambda v: np.isin(np.round(v), [0.0, 1.0]), V),
    "convolve": (lambda v: np.convolve(v, v), V),
    "choose": (lambda i: np.choose(i % 2, [i, -i]), I),
    "roll": (lambda v, i: np.roll(v, i[0]), V, I),
    "put_along_axis": (lambda v, i: cnp.put_along_axis(v, i, 7.0, axis=0), V, I),
    "at set": (lambda v, i: cr.at(v, i).set(np.array([1.0, 2.0, 3.0])), V, I),
    "at add": (lambda v, i: cr.at(v, i).add(1.0), V, I),
    "at max": (lambda v, i: cr.at(v)[i].max(0.5), V, I),
    "at mask": (lambda v: cr.at(v, v > 0).multiply(2.0), V),
    "gradient of sort": (lambda v: cr.grad(lambda v: np.sum(np.sort(v) * np.arange(6.0)))(v), V),
    "gradient of cumprod": (lambda v: cr.grad(lambda v: np.sum(np.cumprod(v)))(v), V),
    "gradient of at": (lambda v, i: cr.grad(lambda v: np.sum(cr.at(v, i).multiply(v[:3])))(v), V, I),
}


@pytest.mark.parametrize("name", CASES)
def test_is_a_loop(name):
    function, *args = CASES[name]
    expected = np.stack([function(*row) for row in zip(*args, strict=True)])
    assert_same(cr.vmap(function)(*args), expected, limit=16)
    assert_same(cr.jit(cr.vmap(function))(*args), expected, limit=16)
