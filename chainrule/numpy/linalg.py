"""The linear algebra that can be recorded, under NumPy's names.

The functions are NumPy's own on arrays; but ``eig`` and ``eigvals`` always give complex numbers, as the array API
standard has it, where NumPy gives real ones if no value has an imaginary part. NumPy computes these two in compiled
programs as well, without a derivative. Where NumPy raises ``LinAlgError`` (a singular matrix, one that is not positive
definite), a recorded function gives NaN for that matrix. A matrix that is read by one triangle (``cholesky``, ``eigh``)
stands for a symmetric one, and has a symmetric gradient. The sign of eigenvectors and singular vectors is free:
recorded, the first element that is not small is positive. Where vectors have no derivative (equal eigenvalues or
singular values), it is NaN; that of the values is finite. The gradient of a norm at 0 is 0.

Example:
    >>> import chainrule as cr, numpy as np
    >>> from chainrule.numpy import linalg
    >>> a, b = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0])
    >>> cr.grad(lambda a: np.sum(linalg.solve(a, b)))(a)
    array([[-0.08, -0.24],
           [-0.04, -0.12]])
"""

from numpy.linalg import (
    LinAlgError,
    cholesky,
    cond,
    cross,
    det,
    diagonal,
    eigh,
    eigvalsh,
    inv,
    lstsq,
    matmul,
    matrix_norm,
    matrix_power,
    matrix_rank,
    matrix_transpose,
    multi_dot,
    norm,
    outer,
    pinv,
    qr,
    slogdet,
    solve,
    svd,
    svdvals,
    tensordot,
    tensorinv,
    tensorsolve,
    trace,
    vecdot,
    vector_norm,
)

from chainrule.numpy.eigen import eig, eigvals

__all__ = [
    "LinAlgError", "cholesky", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "inv", "lstsq",
    "matmul", "matrix_norm", "matrix_power", "matrix_rank", "matrix_transpose", "multi_dot", "norm", "outer", "pinv",
    "qr", "slogdet", "solve", "svd", "svdvals", "tensordot", "tensorinv", "tensorsolve", "trace", "vecdot",
    "vector_norm",
]
