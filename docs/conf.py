"""The documentation's site: Sphinx, MyST and numpydoc; `make docs` builds it, without a network."""

import sys
from pathlib import Path

import bitloom

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "bitloom"
author = "the bitloom contributors"
copyright = author
version = release = bitloom.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "bitfields", "conformance", "datasheets", "history"]
exclude_patterns = ["_ext"]

# Docstrings write `name` for code, as NumPy's do.
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints = "none"
# An attribute's line stands in its class' docstring; a page of its own for each member would say it again.
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# Alabaster comes with Sphinx and asks nobody for fonts.
html_theme = "alabaster"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"bitloom {version}"
html_sidebars = {"**": ["about.html", "searchfield.html", "navigation.html"]}
html_theme_options = {
    "description": "Synthesizable RTL for low-bit transformer accelerators",
    "fixed_sidebar": True,
    "page_width": "72rem",
    "sidebar_width": "15rem",
    "show_powered_by": False,
}
html_show_sphinx = False
html_copy_source = False
