"""The guide mentions everything public, and each of its pages leads on."""

import inspect
import re
from pathlib import Path

import pytest

import skcnn

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted((DOCS / "guide").glob("*.rst"))
GUIDE = "\n".join(page.read_text() for page in [*PAGES, DOCS / "getting_started.md"])
WORDS = set(re.findall(r"\w+", GUIDE))


def parameters():
    """Names of the parameters of all public classes and functions, each with one of these."""
    found = {}
    for name in skcnn.__all__:
        value = getattr(skcnn, name)
        if not callable(value) or (inspect.isclass(value) and issubclass(value, Exception)):
            continue
        for parameter in inspect.signature(value).parameters:
            found.setdefault(parameter, name)
    return found


@pytest.mark.parametrize("name", skcnn.__all__)
def test_the_guide_mentions_every_public_name(name):
    assert name in WORDS


@pytest.mark.parametrize("name", parameters())
def test_the_guide_mentions_every_parameter(name):
    assert name in WORDS, f"parameter {name} of {parameters()[name]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_page_of_the_guide_leads_on(page):
    if page.stem == "index":
        return
    text = page.read_text()
    assert text.index("\nSee also\n--------\n") < text.index("\nNext steps\n----------\n")
