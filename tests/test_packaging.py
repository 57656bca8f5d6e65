"""Metadata of the package: what PyPI shows, and what is written in more than one file."""

import re
import tomllib
from pathlib import Path

import pytest

import skcnn

ROOT = Path(skcnn.__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PYTHONS = ["3.11", "3.12", "3.13"]


def readme_on_pypi():
    text = (ROOT / "README.md").read_text()
    hook = SETTINGS["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    for each in hook["substitutions"]:
        text = re.sub(each["pattern"], each["replacement"], text)
    return text


def test_links_of_the_readme_are_absolute_on_pypi():
    targets = re.findall(r"\]\(([^)]+)\)", readme_on_pypi())
    assert len(targets) >= 3
    assert [target for target in targets if not target.startswith("https://")] == []


def test_links_of_the_readme_to_files_of_the_repository_exist():
    targets = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    files = [target for target in targets if "://" not in target]
    assert files
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_each_supported_python_has_a_classifier():
    prefix = "Programming Language :: Python :: 3."
    found = SETTINGS["project"]["classifiers"]
    assert [each.rpartition(" ")[2] for each in found if each.startswith(prefix)] == PYTHONS
    assert SETTINGS["project"]["requires-python"] == f">={PYTHONS[0]}"


@pytest.mark.parametrize("file", ["Makefile", ".github/workflows/tests.yml"])
def test_each_supported_python_is_tested(file):
    assert set(PYTHONS) <= set(re.findall(r"\b3\.\d\d\b", (ROOT / file).read_text()))


def test_the_version_to_cite_is_the_version_of_the_package():
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE)[1] == skcnn.__version__
