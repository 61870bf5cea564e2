"""What models offer to look inside them; ``chainrule/inspect`` does it."""

from __future__ import annotations

from typing import Any

from chainrule.graph import INSPECT, Graph
from chainrule.tracebacks import public


class LookedInto:
    """Methods of models that draw and explain."""

    @public
    def graph(self, x: Any, y: Any = None) -> Graph:
        """The loss on a batch as a graph with all values; without ``y`` the outputs.

        ``model.graph(x, y).show()`` draws it with the value and the gradient at every node, layers folded;
        ``model.graph(x, y).backward()`` is the graph with its backward pass.

        Args:
            x: samples, a few.
            y: their targets.

        Example:
            >>> from chainrule.models import Sequential
            >>> from chainrule.layers import Dense
            >>> model = Sequential([Dense(2, input_dim=3, activation="tanh"), Dense(1)])
            >>> [node.name for node in model.graph(np.ones((1, 3))).nodes if node.name]
            ['dense/kernel', 'dense/bias', 'dense_1/kernel', 'dense_1/bias', 'x', 'z²', 'a²', 'z³']
        """
        return INSPECT[0].loss_graph(self, x, y)

    @public
    def explain(self, x: Any, y: Any, weight: str, *, paths: int = 8) -> Any:
        """The derivative of the loss by one weight, by the chain rule with all factors: see :func:`chainrule.explain`.

        z² is what goes into the activation of the second layer, a² what comes out; the inputs are the first layer.

        Args:
            x: samples, a few.
            y: their targets.
            weight: layer and weight, and the element: ``"dense_1/kernel[1, 1]"``. Without an index the element with the
                largest derivative.
            paths: how many paths from the weight to the loss are written out.

        Returns:
            An :class:`~chainrule.inspect.explanation.Explanation`.

        Raises:
            ArgumentError: where there is no such weight or element.

        Example:
            >>> from chainrule.models import Sequential
            >>> from chainrule.layers import Dense
            >>> model = Sequential([Dense(2, input_dim=1, kernel_initializer="ones"), Dense(1)])
            >>> model.compile(loss="mse")
            >>> explanation = model.explain([[2.0]], [[0.0]], weight="dense/kernel[0, 1]")
            >>> len(explanation.paths), explanation.error < 1e-4
            (1, True)
        """
        return INSPECT[0].explain_weight(self, x, y, weight, paths)


__all__ = ["LookedInto"]
