"""The layers of the package: modules import only from their own and lower levels."""

import ast
from pathlib import Path

import pytest

import skcnn
from skcnn import _lazy

ROOT = Path(skcnn.__file__).parent

# From top to bottom.
LEVELS = [
    {"image", "sequence"},
    {"base", "heads"},
    {"_fitted", "_parameters", "_saved", "_summary"},
    {"_training", "metrics"},
    {"_files", "_missing", "_strings"},
    {"_compat", "_environment", "_keras", "_keras_compat", "_typing", "_warnings"},
]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in ROOT.rglob("*.py")
    if path.name not in ("__init__.py", "_lazy.py")  # which import public names from everywhere
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


def test_only_one_module_imports_keras_and_tensorflow():
    found = {
        module
        for module in MODULES
        for node in ast.parse(
            ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text()
        ).body
        for child in ast.walk(node)
        if isinstance(child, ast.Import | ast.ImportFrom)
        for name in imported_packages(child)
        if name in ("keras", "scikeras", "tensorflow")
    }
    assert found == {"_environment", "_keras"}  # _environment in functions only


def imported_packages(node):
    if isinstance(node, ast.Import):
        return [each.name.partition(".")[0] for each in node.names]
    return [] if node.level else [node.module.partition(".")[0]]


def test_data_metrics_and_augmentation_settings_do_not_import_tensorflow(run_python):
    code = """
import sys
from skcnn import ImageAugmenter, datasets, exact_match_score, load_digit_images, metrics
ImageAugmenter().set_params(rotation_range=10)
load_digit_images()
print(exact_match_score(["1"], ["1"]), {"keras", "scikeras", "tensorflow"} & sys.modules.keys())
import skcnn
print(hasattr(skcnn, "SampleGenerators"), "tensorflow" in sys.modules)
print(skcnn.SampleGenerator.__name__, "tensorflow" in sys.modules)
"""
    expected = ["1.0 set()", "False False", "SampleGenerator True"]
    assert run_python(code).stdout.splitlines() == expected


def test_a_process_that_is_forked_early_does_not_import_tensorflow(run_python):
    code = """
import os, sys
import skcnn
child = os.fork()
if not child:
    print("tensorflow" in sys.modules, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    assert run_python(code).stdout == "False\n"


def test_every_public_name_is_defined_and_listed():
    assert set(skcnn.__all__) <= set(dir(skcnn))
    assert set(_lazy.__all__) < set(skcnn.__all__)
    for name in _lazy.__all__:
        assert getattr(skcnn, name) is getattr(_lazy, name)


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
