"""Builds this folder as a site: ``make docs`` writes it to build/docs, with no network.

The reference comes from the sources by static analysis: neither hasten nor torch is imported.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.ext.napoleon import Config, GoogleDocstring

DOCS = Path(__file__).parent
SOURCES = DOCS.parent / "src"


def _module(name: str) -> str:
    """Returns the module of a name of the reference: ``methods.base`` of ``methods.base.Method``."""
    parts = name.split(".")
    cuts = (parts[:length] for length in range(len(parts), 0, -1))
    return next(".".join(cut) for cut in cuts if (SOURCES / "hasten" / "/".join(cut)).with_suffix(".py").is_file())


PUBLIC = {
    _module(name)
    for page in (DOCS / "reference").glob("*.md")
    for name in re.findall(r"autoapi\w+:: hasten\.([\w.]+)", page.read_text(encoding="utf-8"))
}
"""The modules that the pages of reference/ take from; the others need not be read."""

project = "hasten"
author = "the hasten authors"
project_copyright = "the hasten authors, Apache-2.0"
release = re.findall(r'__version__ = "(.+?)"', (SOURCES / "hasten/version.py").read_text(encoding="utf-8"))[0]

extensions = ["myst_parser", "sphinx.ext.autodoc", "autoapi.extension"]
myst_heading_anchors = 4

maximum_signature_line_length = 80
python_use_unqualified_type_names = True

autoapi_dirs = [str(SOURCES)]
autoapi_ignore = [
    str(file)
    for file in (SOURCES / "hasten").rglob("*.py")
    if ".".join(file.relative_to(SOURCES / "hasten").with_suffix("").parts) not in (*PUBLIC, "__init__")
]
autoapi_generate_api_docs = False
autoapi_add_toctree_entry = False
suppress_warnings = ["autoapi.python_import_resolution"]  # imports of modules that are not PUBLIC

html_theme = "pydata_sphinx_theme"
html_title = "hasten"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {page: [] for page in ("index", "start", "architecture")}


def read_sections(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Makes fields of "Args:" and "Raises:". Attributes' docstrings are plain text, colons included."""
    if what not in ("attribute", "data", "property"):
        lines[:] = GoogleDocstring(lines, Config(napoleon_use_ivar=True), app, what, name, obj, options).lines()


def name_files_outside(app: Any, page: str, source: list[str]) -> None:
    """A link to a file of the repository that the site does not have becomes that file's path."""

    def named(link: re.Match[str]) -> str:
        file = (DOCS / page).parent.joinpath(link[2]).resolve()
        return link[0] if file.is_relative_to(DOCS) else f"{link[1]} (`{file.relative_to(DOCS.parent)}`)"

    source[0] = re.sub(r"(?<!!)\[([^]]*)\]\((\.\./[^)#]*)[^)]*\)", named, source[0])


def setup(app: Any) -> None:
    app.connect("source-read", name_files_outside)
    app.connect("autodoc-process-docstring", read_sections)
