"""Sphinx: MyST pages, the API from docstrings, the programs' parameters from their models."""

import importlib
import re

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from puredials import __version__
from puredials.cli.params import Parameter, listed_parameters
from puredials.cli.values import type_name

project = "puredials"
author = "the puredials developers"
copyright = author
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"puredials {__version__}"
myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
nitpicky = False


class Parameters(SphinxDirective):
    """``{parameters} puredials.cli.show``: the summary and the parameters of a program."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        program = importlib.import_module(self.arguments[0]).PROGRAM
        lines = [program.summary, "", "```text", f"{program.name} {program.takes}", "```", ""]
        for parameter in listed_parameters(program):
            lines += _definition(parameter)
        container = nodes.container()
        self.state.nested_parse(StringList(lines), self.content_offset, container)
        return container.children


def _definition(parameter: Parameter) -> list[str]:
    notes = [f"`{parameter.text(parameter.default or None if parameter.multiple else parameter.default)}`"]
    notes += [type_name(parameter.type)] if "*" not in notes[0] else []
    notes += [parameter.unit] if parameter.unit else []
    notes += [f"expert level {parameter.expert}"] if parameter.expert else []
    return [f"`{parameter.path}` = {', '.join(notes)}", f": {parameter.help or '—'}", ""]


def _as_restructured_text(app, what, name, obj, options, lines: list[str]) -> None:
    """Docstrings are plain prose: `code` in single quotes, indented blocks as they are, no other mark-up."""
    result: list[str] = []
    literal = section = False
    for line in lines:
        indented = line.startswith("  ")
        section = section if indented or not line else bool(re.fullmatch(r"(Attributes|Args|Returns|Raises):", line))
        if indented and not section and not literal and result and not result[-1]:
            result += ["::", ""]
            literal = True
        literal = literal and (indented or not line)
        if not literal:
            parts = re.split(r"(``.+?``)", re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", line))
            line = "".join(p if p.startswith("``") else re.sub(r"([|*]|(?<=\w)_(?!\w))", r"\\\1", p) for p in parts)
        result.append(line)
    lines[:] = result


def setup(app):
    """Called by Sphinx."""
    app.add_directive("parameters", Parameters)
    app.connect("autodoc-process-docstring", _as_restructured_text, priority=400)
    return {"parallel_read_safe": True}
