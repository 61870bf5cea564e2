"""Modules that are imported when they are first used: what few programs need should not slow the start of all."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType

from chainrule.errors import MissingExtra


def lazy(name: str) -> ModuleType:
    """The module of that name, which runs at the first access to an attribute.

    >>> lazy("colorsys").rgb_to_hsv(0, 0, 0)
    (0.0, 0.0, 0)
    """
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    loader = importlib.util.LazyLoader(spec.loader)
    spec.loader = loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    above, _, own = name.rpartition(".")
    if above:  # as an import does: others may say `import a.b` and then a.b
        setattr(sys.modules[above], own, module)
    return module


def extra(name: str, extra: str, what: str) -> ModuleType:
    """The module of a package that only some features need.

    Args:
        name: of the module.
        extra: what to install it with: ``pip install 'chainrule[extra]'``.
        what: what needs it, for the error.

    Raises:
        MissingExtra: if it is not installed, with the command that installs it.

    >>> extra("colorsys", "color", "mixing").rgb_to_hsv(0, 0, 0)
    (0.0, 0.0, 0)
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = name.partition(".")[0]
        if error.name != package:
            raise
        raise MissingExtra.of(f"{what} needs the package {package}, which is not installed", f"chainrule[{extra}]",
                              f"pip install 'chainrule[{extra}]'") from None
