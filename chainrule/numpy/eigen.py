"""Eigenvalues and eigenvectors of matrices of any kind. They are complex, whatever the values turn out to be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.numpy.common import records
from chainrule.ops.declare import Traced
from chainrule.ops.host import on_host

EigResult = type(np.linalg.eig(np.eye(1)))


def eig(x: Any, /) -> Any:
    """The eigenvalues of square matrices, (..., M), and the eigenvectors as columns, (..., M, M), both complex.

    A real matrix gives complex numbers too, as the array API standard has it, so that the dtype does not depend on
    values. The order of the eigenvalues and the signs of the vectors are free; there is no derivative.

    Raises:
        numpy.linalg.LinAlgError: for infinities or NaN among the elements; recorded, such a matrix gives NaN.

    Example:
        >>> from chainrule import numpy as cnp
        >>> cnp.linalg.eig(cnp.asarray([[2.0, 0.0], [0.0, 3.0]])).eigenvalues
        array([2.+0.j, 3.+0.j])
    """
    if isinstance(x, Traced):
        return _recorded(eig, x)
    values, vectors = np.linalg.eig(x)
    return EigResult(_complex(values), _complex(vectors))


def eigvals(x: Any, /) -> Any:
    """The eigenvalues of square matrices, (..., M), in no particular order, as complex numbers: see :func:`eig`.

    Example:
        >>> from chainrule import numpy as cnp
        >>> cnp.linalg.eigvals(cnp.asarray([[0.0, 1.0], [-1.0, 0.0]])).imag
        array([ 1., -1.])
    """
    if isinstance(x, Traced):
        return _recorded(eigvals, x)
    return _complex(np.linalg.eigvals(x))


records(np.linalg.eig)(eig)
records(np.linalg.eigvals)(eigvals)


def _complex(x: np.ndarray) -> np.ndarray:
    return x if x.dtype.kind == "c" else x.astype(np.result_type(x.dtype, np.complex64))


def _recorded(function: Callable[[Any], Any], x: Any) -> Any:
    def computed(a: np.ndarray) -> Any:
        good = np.isfinite(a).all((-2, -1))
        found = function(np.where(good[..., None, None], a, a.dtype.type(0)))
        parts = [np.where(good.reshape(good.shape + (1,) * (p.ndim - good.ndim)), p, p.dtype.type(np.nan))
                 for p in (found if isinstance(found, tuple) else (found,))]
        return EigResult(*parts) if isinstance(found, tuple) else parts[0]
    return on_host(computed, f"np.linalg.{function.__name__}", (x,), {})
