"""Layers, the parts of a network. One family per file."""

from chainrule.layers.base import Layer, Weight
from chainrule.layers.config import deserialize, register, serialize
from chainrule.layers.core import Activation, Flatten
from chainrule.layers.dense import Dense
from chainrule.layers.dropout import Dropout
from chainrule.layers.symbolic import Input, InputLayer

__all__ = ["Activation", "Dense", "Dropout", "Flatten", "Input", "InputLayer", "Layer", "Weight", "deserialize",
           "register", "serialize"]
