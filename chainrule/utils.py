"""What is useful beside models: data sets that make their batches when asked."""

from __future__ import annotations

from chainrule.training.sources import PyDataset

__all__ = ["PyDataset"]
