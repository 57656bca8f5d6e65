"""The directive ``plot`` without its pictures, for drafts."""

from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive, directives


class NoPicture(Directive):
    has_content = True
    optional_arguments = 1
    option_spec: ClassVar = {"alt": directives.unchanged}

    def run(self):
        return [nodes.paragraph(text=f"[Picture: {self.options.get('alt', self.arguments)}]")]


def setup(app):
    app.add_directive("plot", NoPicture)
    return {"parallel_read_safe": True}
