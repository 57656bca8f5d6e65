"""The layers of the package: modules import only from their own and lower levels."""

import ast
from pathlib import Path

import pytest

import skcnn

ROOT = Path(skcnn.__file__).parent

# From top to bottom.
LEVELS = [
    {"image", "sequence"},
    {"base", "heads"},
    {"_fitted", "_parameters", "_saved", "_summary"},
    {"_training", "metrics"},
    {"_files", "_missing", "_strings"},
    {"_compat", "_environment", "_typing"},
]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in ROOT.rglob("*.py")
    if path.name != "__init__.py"
)


def imported(module):
    """The modules of the package that a module imports at run time, as tuples of names."""
    path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    package = module.split(".")[:-1]
    tree = ast.parse(path.read_text())
    for_types = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and node not in for_types:
            start = package[: len(package) - node.level + 1]
            yield [*start, *(node.module or "").split(".")]


def level(name):
    return next(number for number, names in enumerate(LEVELS) if name in names)


@pytest.mark.parametrize("module", MODULES)
def test_modules_import_only_from_lower_levels(module):
    top = module.split(".")[0]
    for parts in imported(module):
        if top in ("datasets", "displays"):  # they stand beside the estimators
            assert parts not in (["base"], ["image", "classifier"], ["sequence", "rnn"])
        elif parts[0] != top:
            assert level(parts[0]) >= level(top), f"{module} imports {'.'.join(parts)}"


def test_no_import_cycles():
    graph = {
        module: {".".join(parts) for parts in imported(module)} & set(MODULES)
        for module in MODULES
    }
    done = set()
    while len(done) < len(graph):
        free = {module for module in graph if module not in done and graph[module] <= done}
        assert free, f"a circle among {sorted(set(graph) - done)}"
        done |= free
