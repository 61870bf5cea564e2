"""Operations on corresponding elements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.errors import ChainruleTypeError
from chainrule.ops.complex_values import complex_expm1, complex_tanh
from chainrule.ops.declare import Op, bind, broadcast_shapes, convert, elementwise, expand, is_linear, shape_of, unify

TWO_OVER_SQRT_PI = 2.0 / math.sqrt(math.pi)

# ---------------------------------------------------------------- arithmetic


add: Op = elementwise(
    "add", doc="Sum of two arrays.", reference=np.add, arity=2, onnx="Add", kinds="fciub",
    lower=lambda e, x, y: e.add(x, y),
    jvp=lambda t, x, out: t[1] if t[0] is None else t[0] if t[1] is None else add(t[0], t[1]),
    transpose=lambda ct, x: [ct if is_linear(x[0]) else None, ct if is_linear(x[1]) else None])

sub: Op = elementwise(
    "sub", doc="Difference of two arrays.", reference=np.subtract, arity=2, onnx="Sub", kinds="fciu",
    lower=lambda e, x, y: e.sub(x, y),
    jvp=lambda t, x, out: neg(t[1]) if t[0] is None else t[0] if t[1] is None else sub(t[0], t[1]),
    transpose=lambda ct, x: [ct if is_linear(x[0]) else None, neg(ct) if is_linear(x[1]) else None])

mul: Op = elementwise(
    "mul", doc="Product of two arrays, element by element.", reference=np.multiply, arity=2, onnx="Mul", kinds="fciub",
    lower=lambda e, x, y: e.mul(x, y),
    partials=[lambda x, y, out: y, lambda x, y, out: x],
    transpose=lambda ct, x: [mul(ct, x[1]) if is_linear(x[0]) else None, mul(x[0], ct) if is_linear(x[1]) else None])

div: Op = elementwise(
    "div", doc="True quotient of two arrays.", reference=np.true_divide, arity=2, kinds="fc", integers=dtypes.FLOAT64,
    onnx="Div",
    lower=lambda e, x, y: e.div(x, y),
    jvp=lambda t, x, out: _div_jvp(t, x, out),
    transpose=lambda ct, x: [div(ct, x[1]) if is_linear(x[0]) else None, None])


def _div_jvp(t: Any, x: Any, out: Any) -> Any:
    first = None if t[0] is None else div(t[0], x[1])
    if t[1] is None:
        return first
    second = neg(mul(div(out, x[1]), t[1]))
    return second if first is None else add(first, second)


neg: Op = elementwise(
    "neg", doc="The negative of each element.", reference=np.negative, kinds="fciu", onnx="Neg",
    lower=lambda e, x: e.neg(x), linear=lambda t: neg(t), transpose=lambda ct, x: [neg(ct)])

abs_: Op = elementwise(
    "abs", doc="Absolute value; its derivative at 0 is 0.", reference=np.absolute, onnx="Abs", kinds="fciub",
    result="real", lower=lambda e, x: e.abs(x),
    jvp=lambda t, x, out: mul(sign(x[0]), t[0]) if x[0].dtype.kind != "c" else real(mul(conj(sign(x[0])), t[0])))

sign: Op = elementwise(
    "sign", doc="-1, 0 or 1 as the element is negative, zero or positive; NaN for NaN.", reference=np.sign,
    kinds="fciu", lower=lambda e, x: _lower_sign(e, x), onnx="Sign",
    jvp=lambda t, x, out: _turned(t[0], x[0], out) if x[0].dtype.kind == "c" else None)


def _turned(t: Any, z: Any, direction: Any) -> Any:
    """How the direction z/|z| changes: by the part of t/|z| across it; at 0 not at all."""
    size = abs_(z)
    zero = eq(size, 0.0)
    across = sub(t, mul(direction, real(mul(conj(direction), t))))
    return select(zero, 0.0, div(across, select(zero, 1.0, size)))


def _lower_sign(e: Any, x: Any) -> Any:
    zero, one = e.like(x, 0), e.like(x, 1)
    positive = e.select(e.gt(x, zero), one, x if x.dtype.kind == "f" else zero)
    if x.dtype.kind == "u":
        return positive
    # a float that is not positive is itself here: ±0 and NaN stay as they are
    signed = e.select(e.lt(x, zero), e.like(x, -1), positive)
    return e.select(e.eq(x, zero), zero, signed)


maximum: Op = elementwise(
    "maximum", doc="The larger of two; NaN if either is NaN. At ties each side gets half the derivative.",
    reference=np.maximum, arity=2, onnx="Max",
    lower=lambda e, x, y: e.max(y, x),  # of equal ones, such as 0 and -0, the second, as in NumPy
    partials=[lambda x, y, out: _share(x, y, gt), lambda x, y, out: _share(y, x, gt)])

minimum: Op = elementwise(
    "minimum", doc="The smaller of two; NaN if either is NaN. At ties each side gets half the derivative.",
    reference=np.minimum, arity=2, onnx="Min", lower=lambda e, x, y: e.min(y, x),
    partials=[lambda x, y, out: _share(x, y, lt), lambda x, y, out: _share(y, x, lt)])


def _share(x: Any, y: Any, wins: Op) -> Any:
    all_, half, none = (np.asarray(share, x.dtype) for share in (1.0, 0.5, 0.0))
    return select(wins(x, y), all_, select(eq(x, y), half, none))


# ---------------------------------------------------------------- powers, exponentials, logarithms

sqrt: Op = elementwise(
    "sqrt", doc="Square root.", reference=np.sqrt, kinds="fc", onnx="Sqrt",
    lower=lambda e, x: e.sqrt(x), partials=[lambda x, out: div(0.5, out)])

exp: Op = elementwise(
    "exp", doc="e to the power of each element.", reference=np.exp, kinds="fc", onnx="Exp",
    lower=lambda e, x: e.math("exp", x), partials=[lambda x, out: out])

exp2: Op = elementwise(
    "exp2", doc="2 to the power of each element.", reference=np.exp2, kinds="fc",
    lower=lambda e, x: e.math("exp2", x), partials=[lambda x, out: mul(out, math.log(2))])

expm1: Op = elementwise(
    "expm1", doc="exp(x) - 1, accurate near 0.", reference=np.expm1, kinds="fc", on_complex=complex_expm1,
    lower=lambda e, x: e.math("expm1", x), partials=[lambda x, out: add(out, 1.0)])

log: Op = elementwise(
    "log", doc="Natural logarithm.", reference=np.log, kinds="fc", onnx="Log",
    lower=lambda e, x: e.math("log", x), partials=[lambda x, out: div(1.0, x)])

log2: Op = elementwise(
    "log2", doc="Logarithm to base 2.", reference=np.log2, kinds="fc",
    lower=lambda e, x: e.math("log2", x), partials=[lambda x, out: div(1 / math.log(2), x)])

log10: Op = elementwise(
    "log10", doc="Logarithm to base 10.", reference=np.log10, kinds="fc",
    lower=lambda e, x: e.math("log10", x), partials=[lambda x, out: div(1 / math.log(10), x)])

log1p: Op = elementwise(
    "log1p", doc="log(1 + x), accurate near 0.", reference=np.log1p, kinds="fc",
    lower=lambda e, x: e.math("log1p", x), partials=[lambda x, out: div(1.0, add(x, 1.0))])

pow_: Op = elementwise(
    "pow", doc="x to the power of y.", reference=np.power, arity=2, kinds="fc", onnx="Pow",
    lower=lambda e, x, y: e.math("pow", x, y),
    partials=[lambda x, y, out: mul(y, pow_(_base(x, y), sub(y, 1.0))),
              lambda x, y, out: mul(out, log(select(gt(x, 0.0), x, 1.0)))])


def _base(x: Any, y: Any) -> Any:
    """x, but 1 where x is 0 or NaN and y is 0: there x ** y is 1 whatever x is, and 0 · 0 ** -1 is no number."""
    return select(bit_and(eq(y, 0.0), bit_not(gt(abs_(x), 0.0))), 1.0, x)


cbrt: Op = elementwise(
    "cbrt", doc="Cube root, of negative numbers too.", reference=np.cbrt, kinds="f",
    lower=lambda e, x: e.math("cbrt", x), partials=[lambda x, out: div(1 / 3, mul(out, out))])

hypot: Op = elementwise(
    "hypot", doc="√(x² + y²), without overflow on the way; its derivative at the origin is 0.", reference=np.hypot,
    arity=2, kinds="f", lower=lambda e, x, y: e.math("hypot", x, y),
    partials=[lambda x, y, out: _quotient(x, out, eq(out, 0.0)), lambda x, y, out: _quotient(y, out, eq(out, 0.0))])


def _quotient(x: Any, y: Any, without: Any) -> Any:
    """``x / y``, and 0 with all its derivatives where there is none."""
    return select(without, 0.0, div(x, select(without, 1.0, y)))


# ---------------------------------------------------------------- trigonometric and hyperbolic

sin: Op = elementwise(
    "sin", doc="Sine, the argument in radians.", reference=np.sin, kinds="fc", onnx="Sin",
    lower=lambda e, x: e.math("sin", x), partials=[lambda x, out: cos(x)])

cos: Op = elementwise(
    "cos", doc="Cosine, the argument in radians.", reference=np.cos, kinds="fc", onnx="Cos",
    lower=lambda e, x: e.math("cos", x), partials=[lambda x, out: neg(sin(x))])

tan: Op = elementwise(
    "tan", doc="Tangent, the argument in radians.", reference=np.tan, kinds="fc", onnx="Tan",
    lower=lambda e, x: e.math("tan", x), partials=[lambda x, out: add(mul(out, out), 1.0)])

arcsin: Op = elementwise(
    "arcsin", doc="Inverse sine, in radians.", reference=np.arcsin, kinds="fc", onnx="Asin",
    lower=lambda e, x: e.math("asin", x), partials=[lambda x, out: div(1.0, sqrt(_one_minus_square(x)))])

arccos: Op = elementwise(
    "arccos", doc="Inverse cosine, in radians.", reference=np.arccos, kinds="fc", onnx="Acos",
    lower=lambda e, x: e.math("acos", x), partials=[lambda x, out: div(-1.0, sqrt(_one_minus_square(x)))])


def _one_minus_square(x: Any) -> Any:
    return mul(sub(1.0, x), add(1.0, x))  # accurate next to ±1, where 1 - x·x is not


arctan: Op = elementwise(
    "arctan", doc="Inverse tangent, in radians.", reference=np.arctan, kinds="fc", onnx="Atan",
    lower=lambda e, x: e.math("atan", x), partials=[lambda x, out: div(1.0, add(mul(x, x), 1.0))])

arctan2: Op = elementwise(
    "arctan2", doc="The angle of the point (x, y), in radians; called as arctan2(y, x). Its derivative at the origin, "
    "where it has none, is 0.", reference=np.arctan2,
    arity=2, kinds="f", lower=lambda e, y, x: e.math("atan2", y, x),
    partials=[lambda y, x, out: _turn(x, x, y), lambda y, x, out: neg(_turn(y, x, y))])


def _turn(side: Any, x: Any, y: Any) -> Any:
    """``side / (x² + y²)``, 0 at the origin."""
    return _quotient(side, add(mul(x, x), mul(y, y)), bit_and(eq(x, 0.0), eq(y, 0.0)))


sinh: Op = elementwise(
    "sinh", doc="Hyperbolic sine.", reference=np.sinh, kinds="fc", onnx="Sinh",
    lower=lambda e, x: e.math("sinh", x), partials=[lambda x, out: cosh(x)])

cosh: Op = elementwise(
    "cosh", doc="Hyperbolic cosine.", reference=np.cosh, kinds="fc", onnx="Cosh",
    lower=lambda e, x: e.math("cosh", x), partials=[lambda x, out: sinh(x)])

tanh: Op = elementwise(
    "tanh", doc="Hyperbolic tangent.", reference=np.tanh, kinds="fc", onnx="Tanh", on_complex=complex_tanh,
    lower=lambda e, x: e.math("tanh", x), partials=[lambda x, out: sub(1.0, mul(out, out))])

arcsinh: Op = elementwise(
    "arcsinh", doc="Inverse hyperbolic sine.", reference=np.arcsinh, kinds="fc",
    lower=lambda e, x: e.math("asinh", x), partials=[lambda x, out: div(1.0, sqrt(add(mul(x, x), 1.0)))])

arccosh: Op = elementwise(
    "arccosh", doc="Inverse hyperbolic cosine.", reference=np.arccosh, kinds="fc",
    lower=lambda e, x: e.math("acosh", x), partials=[lambda x, out: div(1.0, sqrt(mul(sub(x, 1.0), add(x, 1.0))))])

arctanh: Op = elementwise(
    "arctanh", doc="Inverse hyperbolic tangent.", reference=np.arctanh, kinds="fc",
    lower=lambda e, x: e.math("atanh", x), partials=[lambda x, out: div(1.0, _one_minus_square(x))])

# ---------------------------------------------------------------- complex numbers
# Cotangents pair with tangents as the real part of their product (no conjugation): so the transpose of a product with
# w is the product with w, and the gradient of a real function of real arguments is what it is without complex numbers.

real: Op = elementwise(
    "real", doc="The real part.", reference=np.real, kinds="fc", result="real", lower=lambda e, x: x,
    linear=lambda t: real(t), transpose=lambda ct, x: [cast(ct, dtype=x[0].dtype)])
imag: Op = elementwise(
    "imag", doc="The imaginary part.", reference=np.imag, kinds="fc", result="real", lower=lambda e, x: e.like(x, 0),
    linear=lambda t: imag(t),
    transpose=lambda ct, x: [mul(cast(ct, dtype=x[0].dtype), -1j) if x[0].dtype.kind == "c" else mul(ct, 0)])
conj: Op = elementwise(
    "conj", doc="The complex conjugate.", reference=np.conjugate, kinds="fc", lower=lambda e, x: x,
    linear=lambda t: conj(t), transpose=lambda ct, x: [conj(ct)])

# ---------------------------------------------------------------- functions of neural networks


def _sigmoid(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


sigmoid: Op = elementwise(
    "sigmoid", doc="1 / (1 + exp(-x)).", reference=_sigmoid, kinds="f", onnx="Sigmoid",
    lower=lambda e, x: e.math("sigmoid", x), partials=[lambda x, out: mul(out, sub(1.0, out))])

softplus: Op = elementwise(
    "softplus",
    doc="log(1 + exp(x)), without overflow.",
    reference=lambda x: np.logaddexp(x, x.dtype.type(0)),
    kinds="f",
    onnx="Softplus",
    lower=lambda e, x: e.math("softplus", x),
    partials=[lambda x, out: sigmoid(x)],
)

relu: Op = elementwise(
    "relu", doc="max(x, 0); its derivative at 0 is 0.", reference=lambda x: np.maximum(x, x.dtype.type(0)),
    kinds="f", onnx="Relu",
    lower=lambda e, x: e.select(e.lt(x, e.like(x, 0)), e.like(x, 0), x),  # NaN stays NaN
    jvp=lambda t, x, out: select(gt(out, 0.0), t[0], 0.0))

erf: Op = elementwise(
    "erf", doc="The error function.", reference=np.vectorize(math.erf, otypes=[np.float64]), kinds="f", onnx="Erf",
    lower=lambda e, x: e.math("erf", x), partials=[lambda x, out: mul(exp(neg(mul(x, x))), TWO_OVER_SQRT_PI)])

erfc: Op = elementwise(
    "erfc", doc="1 - erf(x), accurate where that is small.", reference=np.vectorize(math.erfc, otypes=[np.float64]),
    kinds="f", lower=lambda e, x: e.math("erfc", x),
    partials=[lambda x, out: mul(exp(neg(mul(x, x))), -TWO_OVER_SQRT_PI)])

# ---------------------------------------------------------------- rounding and integers

floor: Op = elementwise("floor", doc="The largest integer not above.", reference=np.floor, kinds="f", onnx="Floor",
                    lower=lambda e, x: e.floor(x))
ceil: Op = elementwise("ceil", doc="The smallest integer not below.", reference=np.ceil, kinds="f", onnx="Ceil",
                   lower=lambda e, x: e.ceil(x))
trunc: Op = elementwise("trunc", doc="The integer part.", reference=np.trunc, kinds="f", lower=lambda e, x: e.trunc(x))
rint: Op = elementwise("rint", doc="The nearest integer, ties to even.", reference=np.rint, kinds="f", onnx="Round",
                   lower=lambda e, x: e.rint(x))


def _safe_divisor(e: Any, x: Any, y: Any) -> Any:
    """A divisor that cannot trap: integer division by 0 and the overflow of MIN / -1 are kept away."""
    y = e.select(e.eq(y, e.like(y, 0)), e.like(y, 1), y)
    if x.dtype.kind == "i":
        y = e.select(e.eq(y, e.like(y, -1)), e.like(y, 1), y)
    return y


def _lower_floor_divide(e: Any, x: Any, y: Any) -> Any:
    zero = e.like(x, 0)
    if x.dtype.kind == "f":
        return _float_floor_divide(e, x, y)
    divisor = _safe_divisor(e, x, y)
    q, r = e.quotient(x, divisor), e.remainder(x, divisor)
    if x.dtype.kind == "i":
        down = e.and_(e.ne(r, zero), e.ne(e.lt(r, zero), e.lt(divisor, zero)))
        q = e.select(down, e.sub(q, e.like(q, 1)), q)
        q = e.select(e.eq(y, e.like(y, -1)), e.neg(x), q)
    return e.select(e.eq(y, zero), zero, q)


def _float_floor_divide(e: Any, x: Any, y: Any) -> Any:
    # Python's definition: (x - remainder) / y is close to an integer, which is then rounded to it
    zero = e.like(x, 0)
    with e.exact():
        r = e.remainder(x, y)
        q = e.div(e.sub(x, r), y)
        q = e.select(e.and_(e.ne(r, zero), e.ne(e.lt(r, zero), e.lt(y, zero))), e.sub(q, e.like(q, 1)), q)
        low = e.floor(q)
        low = e.select(e.gt(e.sub(q, low), e.like(q, 0.5)), e.add(low, e.like(q, 1)), low)
        low = e.select(e.eq(q, zero), e.copysign(zero, e.div(x, y)), low)
        return e.select(e.eq(y, zero), e.div(x, y), low)


def _lower_remainder(e: Any, x: Any, y: Any) -> Any:
    zero = e.like(x, 0)
    if x.dtype.kind == "f":
        r = e.remainder(x, y)
        shifted = e.select(e.ne(e.lt(r, zero), e.lt(y, zero)), e.add(r, y), r)
        return e.select(e.eq(r, zero), e.copysign(zero, y), shifted)
    r = e.remainder(x, _safe_divisor(e, x, y))
    if x.dtype.kind == "i":
        r = e.select(e.and_(e.ne(r, zero), e.ne(e.lt(r, zero), e.lt(y, zero))), e.add(r, y), r)
    return e.select(e.eq(y, zero), zero, r)


floor_divide: Op = elementwise(
    "floor_divide", doc="The quotient rounded down. Integers divided by 0 give 0, as in NumPy.",
    reference=np.floor_divide, arity=2, kinds="fiu", bools=dtypes.INT8, lower=_lower_floor_divide)
remainder: Op = elementwise(
    "remainder", doc="The remainder with the sign of the divisor (Python's %).", reference=np.remainder, arity=2,
    kinds="fiu", bools=dtypes.INT8, lower=_lower_remainder,
    partials=[lambda x, y, out: np.ones((), x.dtype), lambda x, y, out: neg(floor_divide(x, y))])


def _lower_fmod(e: Any, x: Any, y: Any) -> Any:
    if x.dtype.kind == "f":
        return e.remainder(x, y)
    return e.select(e.eq(y, e.like(y, 0)), e.like(x, 0), e.remainder(x, _safe_divisor(e, x, y)))


fmod: Op = elementwise(
    "fmod", doc="The remainder with the sign of the dividend (C's fmod).", reference=np.fmod, arity=2, kinds="fiu",
    lower=_lower_fmod,
    # (x - out) / y is the whole quotient but for rounding; trunc(x / y) may be one more
    partials=[lambda x, y, out: np.ones((), x.dtype), lambda x, y, out: rint(div(sub(out, x), y))])

# ---------------------------------------------------------------- comparison and logic

eq: Op = elementwise("eq", doc="x == y", reference=np.equal, arity=2, result="bool", onnx="Equal", kinds="fciub",
                 lower=lambda e, x, y: e.eq(x, y))
ne: Op = elementwise(
    "ne", doc="x != y", reference=np.not_equal, arity=2, result="bool", kinds="fciub",
    lower=lambda e, x, y: e.ne(x, y)
)
lt: Op = elementwise("lt", doc="x < y", reference=np.less, arity=2, result="bool", onnx="Less",
                 lower=lambda e, x, y: e.lt(x, y))
le: Op = elementwise("le", doc="x <= y", reference=np.less_equal, arity=2, result="bool", onnx="LessOrEqual",
                 lower=lambda e, x, y: e.le(x, y))
gt: Op = elementwise("gt", doc="x > y", reference=np.greater, arity=2, result="bool", onnx="Greater",
                 lower=lambda e, x, y: e.gt(x, y))
ge: Op = elementwise("ge", doc="x >= y", reference=np.greater_equal, arity=2, result="bool", onnx="GreaterOrEqual",
                 lower=lambda e, x, y: e.ge(x, y))
bit_and: Op = elementwise(
    "bit_and",
    doc="x & y: of bools the logical and.",
    reference=np.bitwise_and,
    arity=2,
    kinds="iub",
    lower=lambda e, x, y: e.and_(x, y),
)
bit_or: Op = elementwise("bit_or", doc="x | y: of bools the logical or.", reference=np.bitwise_or, arity=2, kinds="iub",
                     lower=lambda e, x, y: e.or_(x, y))
bit_xor: Op = elementwise(
    "bit_xor",
    doc="x ^ y: of bools the exclusive or.",
    reference=np.bitwise_xor,
    arity=2,
    kinds="iub",
    lower=lambda e, x, y: e.xor(x, y),
)
bit_not: Op = elementwise("bit_not", doc="~x: of bools the logical not.", reference=np.invert, kinds="iub",
                      lower=lambda e, x: e.not_(x))


def _shift(e: Any, x: Any, y: Any, left: bool) -> Any:
    bits = e.like(y, 8 * y.dtype.itemsize - 1)
    inside = e.and_(e.le(y, bits), e.ge(y, e.like(y, 0)))
    safe = e.select(inside, y, e.like(y, 0))
    if left:
        return e.select(inside, e.shl(x, safe), e.like(x, 0))
    # shifted out entirely: 0, or -1 for a negative number
    return (
        e.shr(x, e.select(inside, y, bits)) if x.dtype.kind == "i" else e.select(inside, e.shr(x, safe), e.like(x, 0))
    )


shift_left: Op = elementwise("shift_left", doc="x << y", reference=np.left_shift, arity=2, kinds="iu",
                         bools=dtypes.INT8,
                         lower=lambda e, x, y: _shift(e, x, y, True))
shift_right: Op = elementwise("shift_right", doc="x >> y", reference=np.right_shift, arity=2, kinds="iu",
                          bools=dtypes.INT8,
                          lower=lambda e, x, y: _shift(e, x, y, False))
is_nan: Op = elementwise("isnan", doc="True where the element is NaN.", reference=np.isnan, kinds="fc", result="bool",
                     onnx="IsNaN", lower=lambda e, x: e.isnan(x))
is_finite: Op = elementwise(
    "isfinite",
    doc="True where the element is neither NaN nor infinite.",
    reference=np.isfinite,
    kinds="fc",
    result="bool",
    lower=lambda e, x: e.lt(e.abs(x), e.like(x, np.inf)),
)
is_inf: Op = elementwise(
    "isinf",
    doc="True where the element is infinite.",
    reference=np.isinf,
    kinds="fc",
    result="bool",
    onnx="IsInf",
    lower=lambda e, x: e.eq(e.abs(x), e.like(x, np.inf)),
)
signbit: Op = elementwise(
    "signbit", doc="True where the sign bit is set (also of -0).", reference=np.signbit, kinds="f", result="bool",
    lower=lambda e, x: e.lt(e.bitcast(x, f"i{x.dtype.itemsize}"), e.const(0, f"i{x.dtype.itemsize}", x.lanes)))

# ---------------------------------------------------------------- selection, conversion, copies


def _select_infer(condition: Any, x: Any, y: Any) -> Any:
    if condition[1] != dtypes.BOOL:
        raise ChainruleTypeError.of(
            f"the condition of where is {condition[1]}", "a bool array", "np.where(x > 0, x, y)"
        )
    return x


class _Select(Op):
    """``select(condition, x, y)``: x and y are brought to one dtype, all three to one shape."""

    def __call__(self, condition: Any, x: Any, y: Any) -> Any:
        x, y = unify(x, y)
        shape = broadcast_shapes(shape_of(condition), shape_of(x))
        return bind(self, expand(convert(condition, dtypes.BOOL), shape), expand(x, shape), expand(y, shape))


select: Op = _Select(
    "select", "x where the condition holds, else y.", "elementwise", infer=_select_infer,
    reference=lambda c, x, y: np.where(c, x, y), arity=3, onnx="Where",
    lower=lambda e, c, x, y: e.select(c, x, y),
    jvp=lambda t, x, out: None if t[1] is None and t[2] is None else
    select(x[0], 0.0 if t[1] is None else t[1], 0.0 if t[2] is None else t[2]),
    transpose=lambda ct, x: [None, select(x[0], ct, 0.0) if is_linear(x[1]) else None,
                             select(x[0], 0.0, ct) if is_linear(x[2]) else None])


class _Unary(Op):
    def __call__(self, x: Any, **params: Any) -> Any:
        return bind(self, x, **params)


def _cast_reference(x: Any, dtype: np.dtype) -> Any:
    with np.errstate(all="ignore"):
        return (x.real if x.dtype.kind == "c" and np.dtype(dtype).kind not in "cb" else x).astype(dtype)


cast: Op = _Unary(
    "cast", "The elements converted to another dtype (NumPy's astype).", "elementwise",
    infer=lambda x, dtype: (x[0], np.dtype(dtype)), reference=_cast_reference, onnx="Cast",
    lower=lambda e, x, dtype: e.cast(x, dtype),
    jvp=lambda t, x, out, dtype: cast(t[0], dtype=dtype) if dtypes.is_inexact(np.dtype(dtype)) else None,
    transpose=lambda ct, x, dtype: [cast(ct, dtype=x[0].dtype)])
copy: Op = _Unary(
    "copy", "The same elements: a new node in the graph.", "elementwise", infer=lambda x: x,
    reference=lambda x: np.array(x), lower=lambda e, x: x, onnx="Identity",
    jvp=lambda t, x, out: t[0], transpose=lambda ct, x: [ct])
stop_gradient: Op = _Unary(
    "stop_gradient", "The same elements, taken as constant by differentiation.", "elementwise", infer=lambda x: x,
    reference=lambda x: np.array(x), lower=lambda e, x: x, onnx="Identity", jvp=lambda t, x, out: None)
