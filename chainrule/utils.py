"""What is useful beside models: data sets that make their batches when asked, steps' data, objects by their names."""

from __future__ import annotations

from chainrule.configuration import custom_object_scope, deserialize, register, serialize
from chainrule.training.sources import PyDataset
from chainrule.training.steps import unpacked as unpack_x_y_sample_weight

__all__ = ["PyDataset", "custom_object_scope", "deserialize", "register", "serialize", "unpack_x_y_sample_weight"]
