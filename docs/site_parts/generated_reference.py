"""Directives that write parts of the reference from the program itself, so that they cannot go stale.

``task-settings``: every task with its settings. ``uri-parameters``: every scheme with its parameters. ``commands``:
every command with its arguments and options.
"""

import html
import inspect
from collections.abc import Iterable
from typing import Any

import click
import typer
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from inmateria.adapters.uri import adapters_found, described_by
from inmateria.cli.commands import app as application
from inmateria.cli.parameters import Parameter, parameters_of, settings_of
from inmateria.cli.terminal_output import plain
from inmateria.protocols.task import find_task, task_summaries


def table_of(parameters: Iterable[Parameter]) -> list[str]:
    """Return a table of parameters in Markdown."""
    rows = [
        "| " + " | ".join((f"`{each.name}`", code(each.default), cell(each.allowed), cell(each.meaning))) + " |"
        for each in parameters
    ]
    return ["| name | default | allowed | meaning |", "| --- | --- | --- | --- |", *rows] if rows else ["It has none."]


def cell(text: str) -> str:
    """Return a text as it stands in a cell of a Markdown table."""
    words = html.escape(" ".join(plain(text).split()), quote=False)
    for mark in "\\|*_`[]$":
        words = words.replace(mark, "\\" + mark)
    return words


def code(text: str) -> str:
    """Return a text as code, or nothing."""
    shown = "see its type" if text == "<factory>" else text.replace("|", "\\|")
    return f"`{shown}`" if shown else ""


def tasks() -> list[str]:
    """Return every task with its settings, in Markdown."""
    lines: list[str] = []
    for name, summary in sorted(task_summaries()):
        lines += [f"## `{name}`", "", f"{cell(summary[:1].upper() + summary[1:])}.", ""]
        lines += [*table_of(settings_of(find_task(name).settings)), ""]
    return lines


def uris() -> list[str]:
    """Return every scheme with the parameters of its URI, in Markdown."""
    lines: list[str] = []
    for scheme, summary in sorted(adapters_found()):
        make, among = described_by(scheme)
        lines += [f"## `{scheme}://`", "", f"{cell(summary[:1].upper() + summary[1:])}.", ""]
        lines += [*table_of(parameters_of(make, among)), ""]
    return lines


def commands() -> list[str]:
    """Return every command with its arguments and options, in Markdown."""
    group: Any = typer.main.get_command(application)
    lines: list[str] = []
    context = click.Context(group, info_name="inmateria")
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if not command.hidden:
            lines += of_command(f"inmateria {name}", command)
    return lines


def of_command(name: str, command: Any) -> list[str]:
    """Return one command, and those below it, in Markdown."""
    lines = [f"## `{name}`", "", cell(inspect.cleandoc(command.help or "").split("\f")[0]), ""]
    rows = []
    for each in command.params:
        if getattr(each, "hidden", False):
            continue
        options = getattr(each, "param_type_name", "") == "option"
        words = [*each.opts, *each.secondary_opts] if options else [each.name.upper()]
        shown = ", ".join(f"`{word}`" for word in words)
        default = "" if each.default in (None, False, ()) or callable(each.default) else str(each.default)
        if default.startswith("<") or repr(each.default).startswith("Sentinel"):
            default = ""
        rows.append(f"| {shown} | {code(default)} | {cell(getattr(each, 'help', None) or '')} |")
    if rows:
        lines += ["| argument or option | default | meaning |", "| --- | --- | --- |", *rows, ""]
    for below, each in getattr(command, "commands", {}).items():
        lines += of_command(f"{name} {below}", each)
    return lines


class _Written(SphinxDirective):
    """A directive whose content is written by a function, in Markdown."""

    write: Any

    def run(self) -> list[nodes.Node]:
        """Return the parsed content."""
        self.env.note_reread()  # the program may have changed though the page has not
        parent = nodes.Element()
        parent.document = self.state.document
        self.state.nested_parse(StringList(type(self).write()), self.content_offset, parent, match_titles=True)
        return parent.children


class TaskSettings(_Written):
    """Every task with its settings."""

    write = staticmethod(tasks)


class UriParameters(_Written):
    """Every scheme with its parameters."""

    write = staticmethod(uris)


class Commands(_Written):
    """Every command with its options."""

    write = staticmethod(commands)


def setup(app: Any) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("task-settings", TaskSettings)
    app.add_directive("uri-parameters", UriParameters)
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
