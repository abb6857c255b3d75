"""The directive ``settings-table``: all settings of a table, from their declarations."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from ptyxrf.driver.command.tables import TABLES
from ptyxrf.driver.data.setting import Setting, SettingsGroup

COLUMNS = {"setting": 20, "values": 22, "unit": 9, "default": 13, "meaning": 36}


def cells_of(name: str, declared: Setting) -> list[str]:
    """Return the cells of a setting: name, values, unit, default and meaning."""
    default = declared.default
    shown = {None: "", True: "yes", False: "no"}.get(default, default) if _is_plain(default) else default
    if isinstance(shown, float):
        shown = f"{shown:g}"
    meaning = f"{declared.help[:1].upper()}{declared.help[1:]}."
    return [name, declared.kind.expected, declared.unit, str(shown), meaning]


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def groups_of(table: type[SettingsGroup]) -> dict[str, list[str]]:
    """Return the names of a table's settings under the first line of the class that declares them."""
    groups: dict[str, list[str]] = {}
    for name in table.declared():
        owner = [entry for entry in table.__mro__ if name in vars(entry).get("__annotations__", {})][-1]
        groups.setdefault((owner.__doc__ or owner.__name__).splitlines()[0].rstrip("."), []).append(name)
    return groups


class SettingsTable(SphinxDirective):
    """A heading, an anchor and a table for each subject of a table of settings."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the tables."""
        table = TABLES[self.arguments[0]]
        shown: list[nodes.Node] = []
        for title, names in groups_of(table).items():
            title = {"Settings of `Objective`": "The model"}.get(title, title.replace("`", ""))
            rubric = nodes.rubric(title, title)
            shown += [rubric, self._table(table, names)]
        return shown

    def _table(self, table: type[SettingsGroup], names: list[str]) -> nodes.table:
        group = nodes.tgroup(cols=len(COLUMNS))
        group += [nodes.colspec(colwidth=width) for width in COLUMNS.values()]
        head, body = nodes.thead(), nodes.tbody()
        head += _row([nodes.paragraph(text=word) for word in COLUMNS])
        for name in names:
            first, *others = cells_of(name, table.declared()[name])
            target = nodes.target(ids=[f"{self.arguments[0]}-{name.replace('_', '-')}"])
            code = nodes.paragraph("", "", target, nodes.literal(text=first))
            body += _row([code, *(nodes.paragraph(text=text) for text in others)])
        group += [head, body]
        return nodes.table("", group, classes=["settings"])


def _row(cells: list[nodes.paragraph]) -> nodes.row:
    row = nodes.row()
    row += [nodes.entry("", cell) for cell in cells]
    return row


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("settings-table", SettingsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
