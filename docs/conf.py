"""Configures Sphinx, which builds the documentation: ``sphinx-build -W docs docs/_build``."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for command_reference

project = "pix2pix_tf"
author = "pix2pix_tf contributors"
copyright = author
release = version = version_of("pix2pix-tf")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "command_reference",
]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]
nitpicky = True
nitpick_ignore_regex = [("py:class", r"(?!pix2pix_tf\.\w+$).+")]  # all types but those of the public API
smartquotes = False  # they would change --flags
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = project
html_show_sphinx = False
