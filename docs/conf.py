"""Configuration of the documentation site, which `make docs` renders with Sphinx."""

from mutransfer import __version__

project = "mutransfer"
author = "The mutransfer developers"
copyright = author
release = version = __version__

extensions = [
    "myst_nb",  # Markdown pages and the tutorial's notebook
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",  # docstrings in Google's style
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "schemas"]
html_theme = "furo"
html_title = "mutransfer"

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the tests execute the notebook; the site shows its stored outputs

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Source", "notes_style")]
