"""Sphinx' settings for these pages; `make docs` builds them into docs/_build/html."""

import os
import re
from pathlib import Path

import neuralNMF

HERE = Path(__file__).parent

project = "Multi-layer NMF of single-cell counts"
author = "the neuralNMF workflow authors"
release = version = neuralNMF.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"{project} {release}"
html_show_sphinx = False

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

# Notebooks run while the pages are built; those whose counts are not named by a variable of the
# environment, as the notebook says, are shown without results.
COUNTS = {"blood_cells": "BLOOD_CELLS", "two_conditions": "TWO_CONDITIONS"}
nb_execution_mode = "cache"
nb_execution_timeout = 1800
nb_execution_raise_on_error = True
nb_execution_excludepatterns = [
    f"notebooks/{name}.md" for name, variable in COUNTS.items() if not os.environ.get(variable)
]
nb_merge_streams = True


def without_links_to_files(text, folder):
    """Text whose links to files of the repository that are no page have become the files' names."""

    def plain(match):
        words, target = match[1], match[2]
        path = Path(os.path.normpath(folder / target.partition("#")[0]))
        if path.is_relative_to(HERE):
            return match[0]
        file = f"`{path.relative_to(HERE.parent)}`"
        return file if words.strip("`") == file.strip("`") else f"{words} ({file})"

    return re.sub(r"(?<!!)\[([^\]]*)\]\((?!https?:|#)([^)\s]+)\)", plain, text)


def on_page(app, name, source):
    """Sphinx has read a page."""
    source[0] = without_links_to_files(source[0], (HERE / name).parent)


def on_include(app, path, page, source):
    """Sphinx has read a file of the repository that a page includes."""
    source[0] = without_links_to_files(source[0], HERE.parent)


def setup(app):
    """Sphinx calls this."""
    app.connect("source-read", on_page)
    app.connect("include-read", on_include)
