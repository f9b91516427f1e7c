"""How the documentation is built: ``sphinx-build -W -b html docs docs/_build``."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

import xrdatasets  # noqa: E402 (found by the line above)

project = "xrdatasets"
author = "the xrdatasets contributors"
project_copyright = author
version = release = xrdatasets.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "contact_sheets",
    "mapping_tables",
]
exclude_patterns = ["_build", "_ext", "_generated"]
suppress_warnings: list[str] = []
default_role = "py:obj"  # `name` in a docstring
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes are described once, in the class's docstring
napoleon_attr_annotations = False  # `numpy.str_` would read as a link
napoleon_custom_sections = ["Source"]

html_theme = "furo"
html_title = f"xrdatasets {release}"
html_copy_source = False
