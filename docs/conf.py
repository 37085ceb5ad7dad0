"""Configuration of the documentation site: `make docs` builds it into docs/_build/html."""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
from pathlib import Path
from typing import ClassVar

from pygments import token
from pygments.lexer import RegexLexer

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # no request to the network when it is imported
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tools import site_pages  # noqa: E402

site_pages.write(ROOT)

project = "Acuity"
author = "The Acuity authors"
copyright = author
version = release = importlib.metadata.version("acuity")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_design"]
exclude_patterns = ["_build", "generated/*", "**.ipynb_checkpoints"]
suppress_warnings = ["myst.header"]  # generated parts begin with headings of the second level

myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks are committed with their outputs
nb_merge_streams = True

smartquotes = False  # they would turn --flag into –flag
default_role = "code"  # docstrings write `name` for code
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 70
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "pydata_sphinx_theme"
html_title = "Acuity"
html_static_path = ["_static"]
html_css_files = ["acuity.css"]
html_copy_source = False
html_show_sourcelink = False
html_sidebars = {"tutorial": [], "contributing": []}
html_theme_options = {
    "logo": {"text": "Acuity"},
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 8,
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
pygments_style = "default"


def escape_bars(app, what, name, obj, options, lines):
    """Escape `|` in docstrings, where |x| is a magnitude and not a substitution."""
    for number, line in enumerate(lines):
        if ">>>" not in line and "``" not in line:
            lines[number] = re.sub(r"(?<!\\)\|", r"\\|", line)


class Console(RegexLexer):
    """Commands after `$ `, with each word in an element of its own, and their output."""

    tokens: ClassVar = {
        "root": [
            (r"\$ ", token.Generic.Prompt, "command"),
            (r".+\n", token.Generic.Output),
            (r"\n", token.Text),
        ],
        "command": [
            (r"\n", token.Text, "#pop"),
            (r"[ \t]+", token.Text),
            (r"--?[a-z]\S*", token.Name.Attribute),
            (r"\S+", token.Name),
        ],
    }


def setup(app):
    app.add_lexer("console", Console)
    app.connect("autodoc-process-docstring", escape_bars)
