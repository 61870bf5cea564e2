"""Models looked into: the loss on a batch as a graph with its values, and the derivative by one weight explained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chainrule.errors import UsageError, unknown_name
from chainrule.graph import Graph, Node, user_source
from chainrule.inspect.explaining import explained, named_element
from chainrule.inspect.explanation import Explanation
from chainrule.inspect.names import forget_line
from chainrule.inspect.unfold import Flat
from chainrule.layers.base import Layer, Weight
from chainrule.layers.context import Call
from chainrule.trace import record

_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def weight_names(model: Any) -> dict[Weight, str]:
    """``dense_1/kernel`` for each weight; inside a model that is a layer ``block/dense_1/kernel``."""
    names: dict[Weight, str] = {}
    _name(model.layers, "", names)
    for weight in model.weights:
        names.setdefault(weight, f"{model.name}/{weight.name}")
    taken: dict[str, int] = {}
    for weight, text in names.items():
        taken[text] = taken.get(text, -1) + 1
        if taken[text]:
            names[weight] = f"{text}_{taken[text]}"
    return names


def _name(layers: Iterable[Layer], before: str, names: dict[Weight, str]) -> None:
    for layer in layers:
        if layer.sublayers:
            _name(layer.sublayers, f"{before}{layer.name}/", names)
        for weight in layer.weights:
            names.setdefault(weight, f"{before}{layer.name}/{weight.name}")


def loss_graph(model: Any, x: Any, y: Any) -> Graph:
    """The loss of a compiled model on a batch, with the values it has now; without ``y`` the model's output.

    Args:
        model: built or not.
        x: samples.
        y: their targets, or None.
    """
    objective = None
    if y is not None:
        plan, _ = model._compiled("graph")
        if plan.loss is None:
            raise UsageError.of("graph of a model compiled without a loss", "a loss, or the graph of the outputs",
                                "model.graph(x)")
        x, y = model._data(x, y, plan)
        objective = model._objective(plan, y)
    else:
        x = model._samples(x)
    weights = [*model.trainable_weights, *model.non_trainable_weights]
    trained = len(model.trainable_weights)

    def program(values: list[Any], x: Any, y: Any = None) -> Any:
        call = Call()
        predicted, _, penalties = model.run(call, values[:trained], values[trained:], x)
        if objective is None:
            return predicted
        return objective.measured(objective.zeros(), y, predicted, penalties, call.mask(predicted))[0]
    batch = (x,) if y is None else (x, y)
    graph, _ = record(program, ([w.array for w in weights], *batch), values=True)
    names = weight_names(model)
    for node, weight in zip(graph.inputs, weights, strict=False):
        node.name = names[weight]
    for node, name in zip(graph.inputs[len(weights):], ("x", "y"), strict=False):
        node.name = name
    forget_line(graph, user_source())
    name_layers(graph)
    if objective is not None:
        graph.outputs[0].name = "C"
    return graph


def explain_weight(model: Any, x: Any, y: Any, weight: str, paths: int) -> Explanation:
    """∂loss/∂weight by the chain rule."""
    flat = Flat(loss_graph(model, x, y))
    label = {n.name or "": n for n in flat.inputs[:len(model.weights)]}
    if not any(weight == text or weight.startswith(text + "[") for text in label):
        raise unknown_name("weight", weight, label, "weight")
    return explained(flat, named_element(label, weight), paths)


def name_layers(graph: Graph) -> None:
    """Call what goes into the activation of the second layer that has weights z², what comes out a², and so on.

    The inputs are the first layer. Of layers without weights what comes out is called by the layer's name.
    """
    runs: list[tuple[str, list[Node]]] = []
    for node in sorted(graph.nodes, key=lambda n: n.order):
        text = node.source.scope if node.source is not None else ""
        if text.startswith("layer ") and node.inputs:
            if not runs or runs[-1][0] != text:
                runs.append((text, []))
            runs[-1][1].append(node)
    number = 1
    for text, nodes in runs:
        out = nodes[-1]
        weighted = [n for n in nodes if any("/" in (i.name or "") for i in _seen(n))]
        if not weighted:
            out.name = text.rpartition("layer ")[2].strip("'")
            continue
        number += 1
        level = str(number).translate(_RAISED)
        weighted[-1].name = f"z{level}"
        if out is not weighted[-1]:
            out.name = f"a{level}"


def _seen(node: Node) -> list[Node]:
    """The operands, through views of them."""
    return [i.inputs[0] if i.op.name in ("broadcast", "reshape") else i for i in node.inputs]


__all__ = ["explain_weight", "loss_graph", "name_layers", "weight_names"]
