"""A directive that draws a contact sheet of the Phantom's hospitals when the docs are built.

``contact-sheet`` takes the side of a picture in pixels, and findings (all, if none are named).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive, directives
from PIL import Image

import xrdatasets as xr
from xrdatasets.phantom import HOSPITALS
from xrdatasets.reports import contact_sheet

if TYPE_CHECKING:
    from sphinx.application import Sphinx

IMAGES = 1000  # of each hospital, from which the pictures are chosen


class ContactSheet(Directive):
    """One picture for each finding and hospital."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec: ClassVar = {"across": directives.positive_int, "alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """The image, written beside the sources, where Sphinx looks for it."""
        size = int(self.arguments[0])
        environment = self.state.document.settings.env
        folder = Path(environment.srcdir) / "_generated"
        folder.mkdir(exist_ok=True)
        findings = [line.strip() for line in self.content if line.strip()] or None
        datasets = {
            f"hospital {name}": xr.Phantom(IMAGES, name, size=size).plain().with_truth() for name in HOSPITALS
        }
        sheet = contact_sheet(datasets, findings, size=size, across=self.options.get("across", 8))
        path = folder / f"contact-sheet-{size}-{len(findings or [])}.png"
        Image.fromarray(sheet).save(path, optimize=True)
        return [nodes.image(uri=f"/_generated/{path.name}", alt=self.options.get("alt", "contact sheet"))]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("contact-sheet", ContactSheet)
    return {"parallel_read_safe": True}
