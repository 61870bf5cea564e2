"""Models: layers put together, trained by ``fit``."""

from chainrule.models.clone import clone_model
from chainrule.models.model import Model
from chainrule.models.saving import load_model, model_from_json
from chainrule.models.sequential import Sequential

__all__ = ["Model", "Sequential", "clone_model", "load_model", "model_from_json"]
