"""Variables: named numbers and arrays that remember what was computed from them, and take gradients back.

The tool for looking into backpropagation by hand. Training uses :func:`chainrule.grad` instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.autodiff import gradients
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError
from chainrule.graph import Graph, topological
from chainrule.ops.declare import INPUT, input_node
from chainrule.trace import Tracer
from chainrule.tracebacks import public


class Variable(Tracer):
    """A value with a place in the graph: made by :func:`variables`, or computed from such.

    Used like a number or a NumPy array; every operator and NumPy function gives another Variable.
    """

    __slots__ = ()

    @property
    def name(self) -> str | None:
        """The name it was given; results have none until you set one, for the graph's print."""
        return self.node.name

    @name.setter
    def name(self, name: str) -> None:
        self.node.name = name

    @property
    def value(self) -> Any:
        """The number (a float) or the array."""
        return _plain(self.node.value)

    @property
    def grad(self) -> Any:
        """The derivative of the result that :meth:`backward` was last called on, with respect to this.

        A float or an array; None before.
        """
        return _plain(self.node.grad)

    @property
    def graph(self) -> Graph:
        """The graph of how this was computed; its print shows values and gradients."""
        named = [n for n in topological([self.node]) if n.op is INPUT]
        return Graph(named, [self.node])

    @public
    def backward(self) -> None:
        """Backpropagate: give every node that this scalar was computed from its ``grad``, the derivative of this by it.

        A node that is used several times gets the sum over its uses. Every call starts afresh: gradients of
        earlier calls on these nodes are replaced, not added to.

        Example:
            >>> import chainrule as cr
            >>> x, y, z = cr.variables(x=1.0, y=3.0, z=-3.0)
            >>> p = x + y
            >>> f = p * z
            >>> f.backward()
            >>> x.grad, y.grad, z.grad, p.grad
            (-3.0, -3.0, 4.0, -3.0)
        """
        if self.shape != ():
            raise ShapeError.of(f"backward() on a result of shape {self.shape}", "a single number",
                                "np.sum(f).backward()")
        if not dtypes.is_float(self.dtype):
            raise ChainruleTypeError.of(f"backward() on a result of dtype {self.dtype}", "a floating-point number", "")
        nodes = topological([self.node])
        found = gradients(self.node, [n for n in nodes if n.op is INPUT], separate=True)
        for node in nodes:
            cotangent = found.get(node)
            if cotangent is not None:
                node.grad = np.array(cotangent.node.value if isinstance(cotangent, Tracer) else cotangent)
            else:  # no way leads from here to the result, or only one that carries no derivative
                node.grad = np.zeros(node.shape, node.dtype) if node.op is INPUT else None

    def __repr__(self) -> str:
        name = f"{self.name} = " if self.name else ""
        gradient = "" if self.grad is None else f", grad {_shown(self.grad)}"
        return f"{name}{_shown(self.value)}{gradient}"


@public
def variables(**values: Any) -> tuple[Variable, ...]:
    """Named variables, in the order given: ``x, y = cr.variables(x=1.0, y=[2.0, 3.0])``.

    Args:
        values: numbers, arrays or nested lists; whole numbers become floats.

    Example:
        >>> import chainrule as cr
        >>> x, y = cr.variables(x=1.0, y=3.0)
        >>> f = x * x + y
        >>> f.backward()
        >>> x
        x = 1.0, grad 2.0
        >>> print(f.graph)
        graph(x: float64[], y: float64[])
          x = 1.0, grad 2.0
          y = 3.0, grad 1.0
          %1 = mul(x, x)   float64[] = 1.0, grad 1.0
          %2 = add(%1, y)  float64[] = 4.0, grad 1.0
          return %2
    """
    if not values:
        raise ArgumentError.of("variables() without a name", "a name and a value for each",
                               "x, y = cr.variables(x=1.0, y=3.0)")
    return tuple(_variable(name, value) for name, value in values.items())


def _variable(name: str, value: Any) -> Variable:
    try:
        array = np.array(value)
    except ValueError:
        array = np.array(None)
    if array.dtype.kind in "iu":
        array = array.astype(np.float64)
    if array.dtype not in (np.float32, np.float64):
        raise ChainruleTypeError.of(f"the variable {name} was given {value!r}", "a number or an array of numbers",
                                    f"{name}=1.0")
    node = input_node(array.shape, array.dtype, array)
    node.name = name
    return Variable(node)


def _plain(value: Any) -> Any:
    if value is None:
        return None
    return np.asarray(value).item() if np.ndim(value) == 0 else np.array(value)


def _shown(value: Any) -> str:
    return repr(value) if not isinstance(value, np.ndarray) else np.array2string(value, separator=", ", threshold=20)
