"""Models: layers put together, trained by ``fit``."""

from chainrule.models.clone import clone_model
from chainrule.models.model import Model
from chainrule.models.sequential import Sequential

__all__ = ["Model", "Sequential", "clone_model"]
