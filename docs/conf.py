import skcnn

project = "skcnn"
author = "The skcnn developers"
release = version = skcnn.__version__

extensions = ["numpydoc", "sphinx.ext.autosummary", "sphinx.ext.viewcode"]
autosummary_generate = True
numpydoc_class_members_toctree = False
numpydoc_show_class_members = False
exclude_patterns = ["_build"]
html_theme = "pydata_sphinx_theme"
html_theme_options = {"show_prev_next": False}
