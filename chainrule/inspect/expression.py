"""Formulas typed by a person, evaluated on variables: a small language, parsed as Python, of which nothing else runs.

Numbers, names, ``+ - * / ** @ %``, lists, indices, ``pi`` and ``e``, and the functions in ``FUNCTIONS``. Anything else
is refused before anything is computed.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import chainrule.numpy  # noqa: F401  from here on NumPy functions record themselves
from chainrule import activations
from chainrule.errors import ArgumentError, unknown_name

LONGEST, DEEPEST = 10_000, 200  # characters; brackets and operators within each other
CONSTANTS = {"pi": np.pi, "e": np.e}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in (
        "sin cos tan arcsin arccos arctan sinh cosh tanh exp log log1p expm1 log2 log10 sqrt cbrt abs sign maximum "
        "minimum sum mean prod max min dot outer floor ceil hypot arctan2").split()},
    **{name: getattr(activations, name) for name in ("sigmoid", "relu", "softplus", "softmax", "gelu", "elu", "silu")}}
_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow, ast.MatMult: operator.matmul, ast.Mod: operator.mod}
_UNARY: dict[type, Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}


class Expression:
    """A formula.

    Args:
        text: as it was typed.

    Raises:
        ArgumentError: for what is not in the language.

    Example:
        >>> formula = Expression("(x + y) * z")
        >>> formula.names, formula(x=1.0, y=3.0, z=-3.0)
        (['x', 'y', 'z'], -12.0)
    """

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > LONGEST:
            raise ArgumentError.of(f"a formula of {len(text):,} characters", f"{LONGEST:,} at most", "")
        try:
            self.tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            raise ArgumentError.of(f"{text.strip()!r} is no formula: {getattr(error, 'msg', error)}",
                                   "such as (x + y) * z", 'chainrule graph "(x + y) * z" x=1 y=3 z=-3') from None
        self.names: list[str] = []
        self._check(self.tree, 0)

    def _check(self, node: ast.AST, depth: int) -> None:
        if depth > DEEPEST:
            raise ArgumentError.of("a formula nested too deep", f"{DEEPEST} levels at most", "")
        match node:
            case ast.Constant(value=bool()):
                self.refuse(node)
            case ast.Constant(value=int() | float()):
                return
            case ast.Name(id=name):
                if name not in CONSTANTS and name not in self.names:
                    self.names.append(name)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                self._check(left, depth + 1)
                self._check(right, depth + 1)
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
                self._check(operand, depth + 1)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                if name not in FUNCTIONS:
                    raise unknown_name("function", name, FUNCTIONS)
                wanted = getattr(FUNCTIONS[name], "nin", len(args))
                if len(args) != wanted:
                    raise ArgumentError.of(f"the function {name} got {len(args)} arguments", f"{wanted} of them",
                                           f"{name}({', '.join('xy'[:wanted])})")
                for a in args:
                    self._check(a, depth + 1)
            case ast.List(elts=parts):
                for part in parts:
                    self._check(part, depth + 1)
            case ast.Subscript(value=value, slice=index):
                self._check(value, depth + 1)
                _position(index, self)
            case _:
                self.refuse(node)

    def refuse(self, node: ast.AST) -> None:
        """Raise the error for a part that is not in the language."""
        what = ast.unparse(node)
        raise ArgumentError.of(f"the part {what if len(what) < 60 else what[:60] + '…'} does not belong in a formula",
                               "numbers, variables, + - * / ** @ %, lists, indices, and the functions "
                               + ", ".join(FUNCTIONS), 'chainrule graph "tanh(x) * w[0]" x=1 w=[2,3]')

    def __call__(self, **values: Any) -> Any:
        """The value for values of the variables; what records records."""
        missing = [name for name in self.names if name not in values]
        if missing:
            raise ArgumentError.of(f"no value for {', '.join(missing)}", "one for each variable", f"{missing[0]}=1.0")
        with np.errstate(all="ignore"):
            return self._value(self.tree, values)

    def _value(self, node: Any, values: Mapping[str, Any]) -> Any:
        if isinstance(node, ast.Constant):
            return float(node.value)  # type: ignore[arg-type]  # a number: _check has seen to it
        if isinstance(node, ast.Name):
            return values[node.id] if node.id in values else CONSTANTS[node.id]
        if isinstance(node, ast.BinOp):
            left, right = self._value(node.left, values), self._value(node.right, values)
            if isinstance(left, float) and isinstance(right, float):  # 9.0 ** 9e9 is infinite, not an error
                return float(_BINARY[type(node.op)](np.float64(left), np.float64(right)))
            return _BINARY[type(node.op)](left, right)
        if isinstance(node, ast.UnaryOp):
            return _UNARY[type(node.op)](self._value(node.operand, values))
        if isinstance(node, ast.Call):
            return FUNCTIONS[node.func.id](*(self._value(a, values) for a in node.args))  # type: ignore[attr-defined]
        if isinstance(node, ast.List):
            return np.stack([self._value(part, values) for part in node.elts])
        return self._value(node.value, values)[_position(node.slice, self)]


def _position(index: ast.AST, of: Expression) -> Any:
    """An index: whole numbers, positive or negative."""
    try:
        found = ast.literal_eval(index)
    except ValueError:
        found = None
    parts = found if isinstance(found, tuple) else (found,)
    if not parts or any(type(k) is not int for k in parts):
        of.refuse(index)
    return found


def value_of(text: str) -> tuple[str, Any]:
    """``x=[1, 2]`` as a name and an array; ``x=1`` as a name and a number."""
    name, equals, number = text.partition("=")
    try:
        if not equals or not name.strip().isidentifier():
            raise ValueError
        found = np.array(ast.literal_eval(number.strip()), dtype=np.float64)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ArgumentError.of(f"{text!r} gives no variable a value", "a name and a number, or lists of numbers",
                               "x=1 w=[2,3]") from None
    if name.strip() in CONSTANTS or name.strip() in FUNCTIONS:
        raise ArgumentError.of(f"{name.strip()} has a meaning already", "another name", "v=1")
    return name.strip(), found if found.ndim else float(found)


__all__ = ["CONSTANTS", "FUNCTIONS", "Expression", "value_of"]
