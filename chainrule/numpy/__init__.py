"""The array functions that can be recorded, under NumPy's names.

They *are* NumPy's functions: on arrays NumPy computes, on traced arrays they record themselves, here as through
``import numpy as np``. This namespace shows what there is, and adds what NumPy lacks or cannot hand over:
``logsumexp``, ``asarray`` of lists that hold traced numbers, ``full`` of a traced value.

Example:
    >>> import chainrule as cr
    >>> from chainrule import numpy as cnp
    >>> cr.grad(lambda x: cnp.sum(cnp.cumsum(x) ** 2))(cnp.ones(3))
    array([12., 10.,  6.])
"""

from numpy import (
    abs, absolute, acos, acosh, add, all, allclose, amax, amin, any, append, arange, arccos, arccosh, arcsin,
    arcsinh, arctan, arctan2, arctanh, argmax, argmin, around, array_equal, array_split, asin, asinh, astype,
    atan, atan2, atanh, atleast_1d, atleast_2d, atleast_3d, average, bitwise_and, bitwise_invert,
    bitwise_left_shift, bitwise_not, bitwise_or, bitwise_right_shift, bitwise_xor, bool, broadcast_arrays,
    broadcast_shapes, broadcast_to, can_cast, cbrt, ceil, clip, column_stack, compress, concat, concatenate,
    conj, conjugate, copy, copysign, cos, cosh, count_nonzero, cross, cumprod, cumsum, cumulative_prod,
    cumulative_sum, deg2rad, degrees, diag, diagflat, diagonal, diff, divide, divmod, dot, dsplit, dstack,
    dtype, e, ediff1d, einsum, empty, empty_like, equal, euler_gamma, exp, exp2, expand_dims, expm1, eye, fabs,
    finfo, fix, flip, fliplr, flipud, float32, float64, float_power, floor, floor_divide, fmax, fmin, fmod,
    full_like, geomspace, greater, greater_equal, heaviside, hsplit, hstack, hypot, identity, iinfo, indices,
    inf, inner, int16, int32, int64, int8, invert, isclose, isdtype, isfinite, isinf, isnan, isneginf, isposinf,
    isscalar, kron, ldexp, left_shift, less, less_equal, linspace, log, log10, log1p, log2, logaddexp,
    logaddexp2, logical_and, logical_not, logical_or, logical_xor, logspace, matmul, matrix_transpose, matvec,
    max, maximum, mean, meshgrid, min, minimum, mod, modf, moveaxis, multiply, nan, nan_to_num, nanmax, nanmean,
    nanmin, nanprod, nansum, ndarray, ndim, negative, newaxis, not_equal, ones, ones_like, outer, pad,
    permute_dims, pi, positive, pow, power, prod, ptp, rad2deg, radians, ravel, real, reciprocal, remainder,
    repeat, reshape, result_type, right_shift, rint, roll, rollaxis, rot90, round, select, shape, sign, signbit,
    sin, sinc, sinh, size, split, sqrt, square, squeeze, stack, std, subtract, sum, swapaxes, take,
    take_along_axis, tan, tanh, tensordot, tile, trace, transpose, trapezoid, tri, tril, tril_indices, triu,
    triu_indices, true_divide, trunc, uint16, uint32, uint64, uint8, unstack, var, vdot, vecdot, vecmat, vsplit,
    vstack, where, zeros, zeros_like,
)

from chainrule.numpy import assembly, einstein, elementwise, linalg, norms, products, selection, shapes
from chainrule.numpy.creation import asarray, full
from chainrule.numpy.reductions import logsumexp

array = asarray
RULES = (assembly, einstein, elementwise, norms, products, selection, shapes)  # imported to register themselves

__all__ = [
    "abs", "absolute", "acos", "acosh", "add", "all", "allclose", "amax", "amin", "any", "append", "arange",
    "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "argmax", "argmin", "around",
    "array", "array_equal", "array_split", "asarray", "asin", "asinh", "astype", "atan", "atan2", "atanh",
    "atleast_1d", "atleast_2d", "atleast_3d", "average", "bitwise_and", "bitwise_invert", "bitwise_left_shift",
    "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "bool", "broadcast_arrays",
    "broadcast_shapes", "broadcast_to", "can_cast", "cbrt", "ceil", "clip", "column_stack", "compress",
    "concat", "concatenate", "conj", "conjugate", "copy", "copysign", "cos", "cosh", "count_nonzero", "cross",
    "cumprod", "cumsum", "cumulative_prod", "cumulative_sum", "deg2rad", "degrees", "diag", "diagflat",
    "diagonal", "diff", "divide", "divmod", "dot", "dsplit", "dstack", "dtype", "e", "ediff1d", "einsum",
    "empty", "empty_like", "equal", "euler_gamma", "exp", "exp2", "expand_dims", "expm1", "eye", "fabs",
    "finfo", "fix", "flip", "fliplr", "flipud", "float32", "float64", "float_power", "floor", "floor_divide",
    "fmax", "fmin", "fmod", "full", "full_like", "geomspace", "greater", "greater_equal", "heaviside", "hsplit",
    "hstack", "hypot", "identity", "iinfo", "indices", "inf", "inner", "int16", "int32", "int64", "int8",
    "invert", "isclose", "isdtype", "isfinite", "isinf", "isnan", "isneginf", "isposinf", "isscalar", "kron",
    "ldexp", "left_shift", "less", "less_equal", "linalg", "linspace", "log", "log10", "log1p", "log2",
    "logaddexp", "logaddexp2", "logical_and", "logical_not", "logical_or", "logical_xor", "logspace",
    "logsumexp", "matmul", "matrix_transpose", "matvec", "max", "maximum", "mean", "meshgrid", "min", "minimum",
    "mod", "modf", "moveaxis", "multiply", "nan", "nan_to_num", "nanmax", "nanmean", "nanmin", "nanprod",
    "nansum", "ndarray", "ndim", "negative", "newaxis", "not_equal", "ones", "ones_like", "outer", "pad",
    "permute_dims", "pi", "positive", "pow", "power", "prod", "ptp", "rad2deg", "radians", "ravel", "real",
    "reciprocal", "remainder", "repeat", "reshape", "result_type", "right_shift", "rint", "roll", "rollaxis",
    "rot90", "round", "select", "shape", "sign", "signbit", "sin", "sinc", "sinh", "size", "split", "sqrt",
    "square", "squeeze", "stack", "std", "subtract", "sum", "swapaxes", "take", "take_along_axis", "tan",
    "tanh", "tensordot", "tile", "trace", "transpose", "trapezoid", "tri", "tril", "tril_indices", "triu",
    "triu_indices", "true_divide", "trunc", "uint16", "uint32", "uint64", "uint8", "unstack", "var", "vdot",
    "vecdot", "vecmat", "vsplit", "vstack", "where", "zeros", "zeros_like",
]
