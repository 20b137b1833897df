"""How the site is built: see CONTRIBUTING.md. The source folder is the whole checkout."""

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx
from sphinx.errors import SphinxError

sys.path.insert(0, str(Path(__file__).parent))

import notebook
import offline
import reference

project = "houndsight"
html_title = "houndsight"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# The whole checkout, so that a link from README to docs/ is the same here as in a clone.
root_doc = "docs/index"
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**"]
exclude_patterns = [".*", "build", "dist", "src", "tests", "benchmarks", "docs/site"]
html_extra_path = ["index.html"]
html_theme = "furo"
html_copy_source = False
myst_heading_anchors = 4
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_use_ivar = False
# Comments in pages, invisible elsewhere: tables of contents, and places for what is made here.
CONTENTS = re.compile(r"<!--\n(```\{toctree\}.*?```)\n-->", re.DOTALL)
MADE = {
    "docs/commands": ("<!-- the commands -->", reference.commands),
    "docs/api": ("<!-- the names -->", reference.names),
}


class NotebookParser(MystParser):
    """Reads a notebook as the document that `notebook.document` makes of it."""

    supported = ("notebook",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        """Parse a notebook's JSON."""
        super().parse(notebook.document(notebook.loaded(inputstring)), document)


def fill(_: Sphinx, name: str, source: list[str]) -> None:
    """Let a page's tables of contents count, and put in what is made from the code."""
    source[0] = CONTENTS.sub(r"\1", source[0])
    if name in MADE:
        place, make = MADE[name]
        before, after = source[0].split(place)
        source[0] = f"{before}{make()}{after}"


def check(app: Sphinx, failed: Exception | None) -> None:
    """Stop where a page that was built would ask another host for something."""
    if failed is None and app.builder.name == "html":
        found = offline.requests(Path(app.outdir))
        if found:
            raise SphinxError("pages ask other hosts: " + "; ".join(found))


def setup(app: Sphinx) -> dict[str, Any]:
    """Let Sphinx read notebooks and pages that are filled in."""
    app.add_source_suffix(".ipynb", "notebook")
    app.add_source_parser(NotebookParser)
    app.connect("source-read", fill)
    app.connect("build-finished", check)
    return {"parallel_read_safe": True}
