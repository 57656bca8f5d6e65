from pathlib import Path

import pytest

import skcnn

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("name", skcnn.__all__)
def test_every_public_name_is_in_the_reference(name):
    lines = (DOCS / "api.rst").read_text().splitlines()
    assert {f"   {name}", f".. data:: {name}"} & set(lines)


def test_every_page_of_the_guide_is_in_its_contents():
    pages = {path.stem for path in (DOCS / "guide").glob("*.rst")} - {"index"}
    contents = (DOCS / "guide" / "index.rst").read_text().split()
    assert len(pages) > 10
    assert pages <= set(contents)
