"""The web pages: Markdown in the four parts of Diátaxis, and pages made from the program itself.

A page is found by its folder; docs/how-to/index.md alone lists its pages. Nothing is fetched from
anywhere when the pages are built or read. `make docs` treats each warning, also of a link to
nowhere, as an error.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from migratable import __version__  # noqa: E402
from tools import pages, write_messages  # noqa: E402

project = "migratable"
author = "The migratable authors"
project_copyright = author
release = version = __version__

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["README.md"]
nitpicky = True
# `[text](page.md#heading)` is checked to exist, down to this depth of heading.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]
highlight_language = "none"

html_theme = "furo"
html_title = f"migratable {version}"
html_show_sphinx = False
html_copy_source = False


def _make_pages(_app: Sphinx) -> None:
    pages.write(HERE / "reference")
    write_messages.write(HERE / "reference" / "messages.md")


def setup(app: Sphinx) -> None:
    """Make the pages that come from the program before the others are read."""
    app.connect("builder-inited", _make_pages)
