"""Layers, the parts of a network. One family per file."""

from chainrule.layers.base import Layer, Weight
from chainrule.layers.core import Activation, Flatten, Input
from chainrule.layers.dense import Dense
from chainrule.layers.dropout import Dropout

__all__ = ["Activation", "Dense", "Dropout", "Flatten", "Input", "Layer", "Weight"]
