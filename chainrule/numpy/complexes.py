"""Complex numbers: their parts, and which recorded functions know about them. NumPy evaluates such graphs."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.numpy.common import array, filled, records
from chainrule.ops import elementwise as ew
from chainrule.trace import COMPLEX


@records(np.real)
def real(val: Any) -> Any:
    """The real part."""
    val = array(val)
    return ew.real(val) if val.dtype.kind == "c" else val


@records(np.imag)
def imag(val: Any) -> Any:
    """The imaginary part: zeros for real numbers."""
    val = array(val)
    return ew.imag(val) if val.dtype.kind == "c" else filled(val, val.shape, 0, val.dtype)


@records(np.conjugate)
def conjugate(x: Any) -> Any:
    """The complex conjugate; real numbers are their own."""
    x = array(x)
    if x.dtype == dtypes.BOOL:  # as in NumPy
        return ew.cast(x, dtype=np.dtype(np.int8))
    return ew.conj(x) if x.dtype.kind == "c" else x


@records(np.angle)
def angle(z: Any, deg: bool = False) -> Any:
    """The angle of a complex number in radians, or degrees."""
    z = array(z)
    if z.dtype.kind in "biu":
        z = ew.cast(z, dtype=dtypes.FLOAT64)
    out = ew.arctan2(imag(z), real(z))
    return ew.mul(out, 180 / np.pi) if deg else out


@records(np.isreal)
def isreal(x: Any) -> Any:
    """Whether the imaginary part is 0."""
    return ew.eq(imag(x), 0)


@records(np.iscomplex)
def iscomplex(x: Any) -> Any:
    """Whether the imaginary part is not 0."""
    return ew.ne(imag(x), 0)


@records(np.isrealobj)
def isrealobj(x: Any) -> bool:
    """Whether the dtype is not complex."""
    return not iscomplexobj(x)


@records(np.iscomplexobj)
def iscomplexobj(x: Any) -> bool:
    """Whether the dtype is complex."""
    return array(x).dtype.kind == "c"


# The rules that hold for complex numbers as they stand. NumPy computes the others as a whole, without a derivative.
COMPLEX.update(
    getattr(np, name) for name in
    "real imag conjugate angle isreal iscomplex isrealobj iscomplexobj square positive power sum prod mean "
    "cumsum cumprod cumulative_sum cumulative_prod dot matmul inner outer tensordot einsum kron trace diagonal diag "
    "diagflat concatenate stack vstack hstack dstack column_stack append split array_split vsplit hsplit dsplit "
    "unstack tile repeat flip flipud fliplr rot90 roll diff reshape ravel transpose matrix_transpose swapaxes moveaxis "
    "rollaxis expand_dims squeeze atleast_1d atleast_2d atleast_3d broadcast_to broadcast_arrays meshgrid where select "
    "take take_along_axis tril triu zeros_like ones_like empty_like full_like copy astype result_type can_cast shape "
    "ndim size all any count_nonzero logical_and logical_or logical_xor logical_not isclose allclose "
    "array_equal".split())
COMPLEX.update(getattr(np.linalg, name) for name in "matmul outer tensordot trace diagonal matrix_transpose".split())
COMPLEX.update(((np.add, "reduce"), (np.multiply, "reduce"), (np.add, "accumulate"), (np.multiply, "accumulate")))
