"""The page ``paper.md`` with all figures and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ptyxrf.driver.files.whole_file import whole_file


def write_page(folder: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write ``paper.md`` from the records of the experiments.

    Parameters
    ----------
    folder : path
        Folder of the figures.
    records : sequence of dict
        The contents of the JSON files.
    """
    with whole_file(folder / "paper.md") as temporary:
        temporary.write_text(page_text(records), encoding="utf-8")


def page_text(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the page in Markdown."""
    size = " (reduced versions)" if any(record["quick"] for record in records) else ""
    parts = [
        f"# The paper, checked{size}",
        "Experiments of arXiv 2511.02153 (Zou, Buser, Di, Xi) and others, with a verdict for each claim.",
        "## Cost",
        table_text(
            ("experiment", "paper", "reconstructions", "sweeps", "seconds"),
            [
                (
                    f"[{record['name']}](#{record['name']})",
                    record["paper"],
                    record["cost"]["reconstructions"],
                    round(record["cost"]["sweeps"]),
                    round(record["cost"]["seconds"]),
                )
                for record in records
            ],
        ),
        "## Verdicts",
        verdicts_text(records),
    ]
    for record in records:
        parts += [
            f'<a id="{record["name"]}"></a>',
            f"## {record['title']} ({record['paper']})",
            record["about"],
        ]
        parts += record["notes"]
        for picture in record["pictures"]:
            parts += [f"![{picture['caption']}]({picture['file']})", f"*{picture['caption']}*"]
        for table in record["tables"]:
            parts += [f"### {table['title']}", table_text(table["head"], table["rows"])]
    return "\n\n".join(parts) + "\n"


def verdicts_text(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of all claims."""
    rows = [
        (record["name"], claim["text"], claim["verdict"], claim["figures"])
        for record in records
        for claim in record["claims"]
    ]
    return table_text(("experiment", "claim", "verdict", "figures"), rows)


def table_text(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table in Markdown; numbers have three digits."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(entry) for entry in line) + " |" for line in lines)


def _cell(entry: Any) -> str:
    if entry is None:
        return ""
    if isinstance(entry, float):
        return f"{entry:.3g}"
    return str(entry).replace("|", "\\|")
