"""The examples in the docstrings of what users train with do what they say."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import chainrule
import chainrule.layers
import chainrule.optimizers
import chainrule.training

MODULES = ["activations", "checks", "initializers", "losses", "metrics", "models"] + [
    f"{package.__name__.removeprefix('chainrule.')}.{module.name}"
    for package in (chainrule.layers, chainrule.optimizers, chainrule.training)
    for module in pkgutil.iter_modules(package.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(f"chainrule.{name}")
    public = {"np": np, **vars(chainrule.layers), **vars(chainrule.optimizers), **vars(chainrule.training)}
    names = {**public, **vars(module)}
    finder = doctest.DocTestFinder(exclude_empty=True)
    failures = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for example in finder.find(module, f"chainrule.{name}", extraglobs=names):
        runner.run(example, out=failures.append)
    assert not runner.failures, "".join(failures)
