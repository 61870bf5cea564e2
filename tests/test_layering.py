"""The order of the rooms: a module imports only from its own level and from levels earlier in the table."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "chainrule"
LONGEST_FILE = 500

# From the foundations upward. A name stands for a module and all inside it; the longest that fits counts.
LEVELS = [
    ["_version", "errors"],
    ["lazy"],
    ["tracebacks", "cost"],
    ["addresses", "arguments", "cache", "configuration", "recorded", "signatures"],
    ["dtypes", "half", "tree"],
    ["graph"],
    ["ops"],
    ["indexing", "nans"],
    ["trace"],
    ["control"],
    ["numpy"],
    ["autodiff"],
    ["compiler"],
    ["llvm"],
    ["threads"],
    ["runtime"],
    ["random"],
    ["nn", "losses", "metrics", "initializers", "regularizers", "constraints", "activations",
     "thresholds"],
    ["layers"],
    ["optimizers"],
    ["training", "looked_into"],
    ["models", "callbacks", "mixed_precision", "utils"],
    ["check", "descent", "variables"],
    ["inspect", "plot", "io", "distributed"],  # at the side: nothing below imports them
    ["command"],
    ["__init__"],  # the package itself, which names what is public
]
LEVEL_OF = {name: level for level, names in enumerate(LEVELS) for name in names}


def read_modules(package: Path) -> dict[str, ast.Module]:
    """Syntax trees by module name as the table has it: "graph", "ops.declare"; "__init__" is the package."""
    modules = {}
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        modules[name or "__init__"] = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    return modules


def level(module: str) -> int | None:
    """Level of the longest name in the table that covers the module; None if there is none."""
    parts = module.split(".")
    prefixes = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((LEVEL_OF[prefix] for prefix in prefixes if prefix in LEVEL_OF), None)


def imports(
    module: str, tree: ast.Module, known: dict[str, ast.Module], package: str
) -> Iterator[tuple[str, int]]:
    """Modules of the package that a module imports, each with the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = absolute_origin(module, node, known, package)
            # `from a import b` imports the module a.b if there is one, else something inside a.
            targets = [
                f"{origin}.{alias.name}" if inner(f"{origin}.{alias.name}", package) in known else origin
                for alias in node.names
            ]
        else:
            continue
        for target in targets:
            if target == package or target.startswith(package + "."):
                yield inner(target, package), node.lineno


def absolute_origin(module: str, node: ast.ImportFrom, known: dict[str, ast.Module], package: str) -> str:
    """What `from X import` names, with leading dots resolved."""
    if not node.level:
        return node.module or ""
    here = [package] if module == "__init__" else [package, *module.split(".")]
    is_package = module == "__init__" or any(name.startswith(module + ".") for name in known)
    up = node.level - 1 if is_package else node.level
    return ".".join([*here[: len(here) - up], *filter(None, [node.module])])


def inner(name: str, package: str) -> str:
    """Name of a module as the table has it: without the package's own name."""
    return "__init__" if name == package else name.removeprefix(package + ".")


def unplaced(package: Path) -> list[str]:
    return [f"{name}: give it a place in LEVELS" for name in read_modules(package) if level(name) is None]


def upward_imports(package: Path) -> list[str]:
    modules = read_modules(package)
    return [
        f"{name}:{line} imports {target}, which is above it"
        for name, tree in modules.items()
        for target, line in imports(name, tree, modules, package.name)
        if (level(target) or 0) > (level(name) or 0)
    ]


def import_cycles(package: Path) -> list[str]:
    modules = read_modules(package)
    graph = {
        name: {target for target, _ in imports(name, tree, modules, package.name)}
        for name, tree in modules.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [" -> ".join(reversed(error.args[1]))]
    return []


def imports_inside_functions(package: Path) -> list[str]:
    return [
        f"{name}:{node.lineno} imports inside {function.name}"
        for name, tree in read_modules(package).items()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]


def long_files(package: Path) -> list[str]:
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in package.rglob("*.py")}
    return [f"{file} has {lines} lines" for file, lines in lengths.items() if lines > LONGEST_FILE]


CHECKS = [unplaced, upward_imports, import_cycles, imports_inside_functions, long_files]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_package_keeps_the_order_of_its_rooms(check):
    violations = check(PACKAGE)
    assert not violations, "\n".join(violations)


@pytest.mark.parametrize(
    ("check", "files"),
    [
        (unplaced, {"elsewhere.py": ""}),
        (upward_imports, {"graph.py": "from pkg.ops import declare", "ops/declare.py": ""}),
        (upward_imports, {"graph.py": "import pkg"}),
        (upward_imports, {"ops/declare.py": "from .. import models", "models.py": ""}),
        (import_cycles, {"ops/a.py": "from . import b", "ops/b.py": "from pkg.ops.a import f"}),
        (imports_inside_functions, {"graph.py": "class A:\n    def f(self):\n        import math"}),
        (long_files, {"graph.py": "\n" * (LONGEST_FILE + 1)}),
    ],
)
def test_each_check_finds_its_violation(check, files, tmp_path):
    package = tmp_path / "pkg"
    for name, text in {"__init__.py": "from pkg.errors import E", "errors.py": "E = 1", **files}.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text, encoding="utf-8")
    assert len(check(package)) == 1
    assert [other.__name__ for other in CHECKS if other is not check and other(package)] == []
