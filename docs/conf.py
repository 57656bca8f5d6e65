import doctest
import inspect
import os
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_ext"))

from local_inventories import write_inventory  # noqa: E402

import skcnn  # noqa: E402

project = "skcnn"
author = "The skcnn developers"
release = version = skcnn.__version__

extensions = [
    "matplotlib.sphinxext.plot_directive",
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
# make draft: pages as they are, without anything that is run.
DRAFT = "SKCNN_DRAFT" in os.environ
if DRAFT:
    extensions[0] = "no_pictures"
    suppress_warnings = ["myst-nb.lexer"]
exclude_patterns = [
    "_build",
    "_ext",
    "_templates",
    "gallery/**.ipynb",  # pages are made of the .rst
    "inventories",
    "pictures",
    "sg_execution_times.rst",
]
templates_path = ["_templates"]

# Examples
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "ignore_pattern": r"benchmarks|reproduce|sample_photos|serving",
    "remove_config_comments": True,
    "show_memory": False,
    "abort_on_example_error": True,
    "capture_repr": ("_repr_html_",),
    "within_subsection_order": "gallery_order.GalleryOrder",
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("skcnn",),
    "inspect_global_variables": False,
    "default_thumb_file": str(DOCS / "_static" / "logo.svg"),
}

# Pictures of the guide
if not DRAFT:
    plot_formats = [("png", 110)]
    plot_html_show_formats = False
    plot_html_show_source_link = False
    plot_rcparams = {"font.size": 9}

# The getting-started page is a notebook, which nbclient runs when the page is built.
nb_execution_mode = "off" if DRAFT else "force"
nb_execution_timeout = 1800
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_output_stderr = "remove"  # progress bars, and warnings with paths of the machine
nb_execution_in_temp = True
myst_enable_extensions = ["colon_fence"]

# Reference
autosummary_generate = True
# The pages of classes describe the methods that are not inherited from scikit-learn.
autosummary_context = {
    "own_methods": {
        f"skcnn.{name}": [
            method
            for method, value in inspect.getmembers(getattr(skcnn, name), inspect.isroutine)
            if not method.startswith("_")
            and (getattr(value, "__module__", None) or "").startswith("skcnn")
        ]
        for name in skcnn.__all__
    }
}
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # the docstrings have the types
doctest_default_flags = doctest.NORMALIZE_WHITESPACE
doctest_test_doctest_blocks = "default"
numpydoc_class_members_toctree = False
numpydoc_show_class_members = False

# Without a connection the links are those of the lists in inventories/, as always for Keras.
for each in ("keras", "numpy", "sklearn"):
    write_inventory(DOCS / "inventories" / f"{each}.txt", DOCS / "_build" / f"{each}.inv")
intersphinx_mapping = {
    "keras": ("https://keras.io/", "_build/keras.inv"),
    "numpy": ("https://numpy.org/doc/stable/", (None, "_build/numpy.inv")),
    "sklearn": ("https://scikit-learn.org/stable/", (None, "_build/sklearn.inv")),
}
intersphinx_timeout = 10
intersphinx_disabled_reftypes = ["std:doc"]

# Pages
html_theme = "pydata_sphinx_theme"
html_title = "skcnn"
html_logo = "_static/logo.svg"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["skcnn.css"]
html_sidebars = {"index": [], "getting_started": [], "faq": [], "changelog": [], "migration": []}
html_show_sourcelink = False
on_readthedocs = "READTHEDOCS" in os.environ
html_theme_options = {
    "logo": {"text": "skcnn"},
    "header_links_before_dropdown": 4,
    "navbar_end": ["version-switcher", "theme-switcher", "navbar-icon-links"],
    "icon_links": [
        {
            "name": "Source",
            "url": "https://github.com/skcnn/skcnn",
            "icon": "fa-brands fa-github",
        }
    ],
    "switcher": {
        # The list of the newest version, so that old versions name newer ones.
        "json_url": "https://skcnn.readthedocs.io/en/latest/_static/versions.json"
        if on_readthedocs
        else "_static/versions.json",
        "version_match": os.environ.get("READTHEDOCS_VERSION", "latest"),
    },
    "check_switcher": False,
    "show_prev_next": True,
    "use_edit_page_button": True,
    "secondary_sidebar_items": {"**": ["page-toc", "edit-this-page"], "index": []},
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}


def source_of(name: str) -> str:
    """Name the module of a public class or function."""
    module = sys.modules[getattr(skcnn, name).__module__]
    return str(Path(inspect.getfile(module)).relative_to(Path(skcnn.__file__).parents[1]))


html_context = {
    "default_mode": "auto",
    # Generated pages are edited where they are generated from.
    "module_of": {
        f"api/skcnn.{name}.rst": source_of(name)
        for name in skcnn.__all__
        if name != "TRUSTED_TYPES"
    },
    "edit_page_provider_name": "GitHub",
    "edit_page_url_template": "https://github.com/skcnn/skcnn/edit/main/"
    "{% if file_name in module_of %}{{ module_of[file_name] }}"
    "{% elif file_name == 'gallery/index.rst' %}examples/GALLERY_HEADER.rst"
    "{% elif file_name.startswith('gallery/') %}examples/{{ file_name[8:-4] }}.py"
    "{% else %}docs/{{ file_name }}{% endif %}",
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"
