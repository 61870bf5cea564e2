"""The examples in docstrings, in the README and in docs/ do what they say."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import chainrule
import chainrule.layers
import chainrule.optimizers
import chainrule.training

DOCS = Path(__file__).parent.parent / "docs"
MODULES = [module.name for module in pkgutil.walk_packages(chainrule.__path__, "chainrule.")]
ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    public = {"np": np, **vars(chainrule.layers), **vars(chainrule.optimizers), **vars(chainrule.training)}
    for value in list(vars(module).values()):
        if isinstance(value, ModuleType):
            vars(value)  # what is loaded late is loaded now, not while the finder walks
    names = {**public, **vars(module)}
    finder = doctest.DocTestFinder(exclude_empty=True)
    failures = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for example in finder.find(module, name, extraglobs=names):
        runner.run(example, out=failures.append)
    assert not runner.failures, "".join(failures)


def run_blocks(page):
    """Execute the Python blocks of a page, one after the other, as one program."""
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
        exec(compile(block, str(page), "exec"), names)


def test_the_readme_runs(capsys):
    run_blocks(ROOT / "README.md")
    assert "-12.0 -3.0 -3.0 4.0 -3.0" in capsys.readouterr().out


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_the_pages_run(page):
    """Blocks of code run one after the other; examples with prompts print what they show."""
    run_blocks(page)
    failures = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    example = doctest.DocTestParser().get_doctest(page.read_text(encoding="utf-8"), {}, page.name, str(page), 0)
    runner.run(example, out=failures.append)
    assert not runner.failures, "".join(failures)


def public_names():
    for name in chainrule.__all__:
        yield name, getattr(chainrule, name)
    for package in (chainrule.layers, chainrule.optimizers, chainrule.losses, chainrule.metrics):
        for name in getattr(package, "__all__", []):
            yield f"{package.__name__}.{name}", getattr(package, name)


def test_every_public_name_is_documented():
    missing = [name for name, value in public_names() if not isinstance(value, str | dict) and not value.__doc__]
    assert not missing
