import doctest

import skcnn

project = "skcnn"
author = "The skcnn developers"
release = version = skcnn.__version__

extensions = [
    "numpydoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "ignore_pattern": r"benchmarks|reproduce",
    "show_memory": False,
    "abort_on_example_error": True,
    "capture_repr": ("_repr_html_",),
    "within_subsection_order": "FileNameSortKey",
}
autosummary_generate = True
autodoc_typehints = "none"  # the docstrings have the types
doctest_default_flags = doctest.NORMALIZE_WHITESPACE
doctest_test_doctest_blocks = "default"
numpydoc_class_members_toctree = False
numpydoc_show_class_members = False
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_title = "skcnn"
html_theme_options = {"show_prev_next": False}
