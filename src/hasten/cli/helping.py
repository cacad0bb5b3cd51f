"""Shows help in groups, as plain text. Typer's own groups need rich, whose import takes longest."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

from hasten.options.table import GROUPS

MAIN, HELP = "Commands", "Help"
COMMAND_GROUPS = (MAIN, "Many requests at once", "Looking closer")


class GroupedCommand(TyperCommand):
    """A command whose help shows options in the groups of the table."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the arguments, then each group of options under its name."""
        rows: dict[str, list[tuple[str, str]]] = {"Arguments": [], **{group: [] for group in GROUPS}, HELP: []}
        for parameter in self.get_params(ctx):
            if (row := _row(parameter, ctx)) is not None:
                rows[_group(parameter)].append(row)
        for name, found in rows.items():
            _section(formatter, name, found)


class GroupedCommands(TyperGroup):
    """A group whose help shows commands in groups."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes each group of commands under its name."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        width = formatter.width - 6 - max(len(name) for name, _ in commands)
        for group in COMMAND_GROUPS:
            found = [
                (name, c) for name, c in commands if c and (getattr(c, "rich_help_panel", "") or MAIN) == group
            ]
            _section(formatter, group, [(name, c.get_short_help_str(width)) for name, c in found])


def _group(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return "Arguments"
    return getattr(parameter, "rich_help_panel", None) or HELP


def _row(parameter: Any, ctx: Any) -> tuple[str, str] | None:
    """Returns a row of the help. An argument shows its name alone: typer would add its Python type."""
    row: tuple[str, str] | None = parameter.get_help_record(ctx)
    if row is None or parameter.param_type_name != "argument":
        return row
    return row[0].split(" ", 1)[0].strip("[]"), row[1]


def _section(formatter: Any, name: str, rows: list[tuple[str, str]]) -> None:
    if rows:
        with formatter.section(name):
            formatter.write_dl(rows)
