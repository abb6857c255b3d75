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
        answer_text(records),
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
        *conditions_text(records),
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


def answer_text(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the paragraph that answers whether the paper is right."""
    claims = [claim for record in records for claim in record["claims"] if not claim.get("condition")]
    right = sum(claim["holds"] for claim in claims)
    text = f"Is the paper right? {right} of the {len(claims)} claims of the table of verdicts hold."
    compared = compared_claims(records)
    if compared:
        verdicts = [{claim["holds"] for claim in claims.values()} for claims in compared.values()]
        everywhere, nowhere = verdicts.count({True}), verdicts.count({False})
        text += (
            f" Of the {len(compared)} claims of section 3 that are compared for several probes and "
            f"conventions of the DFT, {everywhere} hold for all, {nowhere} for none and "
            f"{len(compared) - everywhere - nowhere} for some, which lie in how much of its window the probe "
            "lights and in the weight of the fluorescence that follows from the convention."
        )
    return text


def verdicts_text(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of all claims but those that are compared under several conditions."""
    rows = [
        (record["name"], claim["text"], claim["verdict"], claim["figures"])
        for record in records
        for claim in record["claims"]
        if not claim.get("condition")
    ]
    return table_text(("experiment", "claim", "verdict", "figures"), rows)


def conditions_text(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the heading and the table of the claims of section 3, with a column for each condition."""
    compared = compared_claims(records)
    conditions = dict.fromkeys(condition for claims in compared.values() for condition in claims)
    if not conditions:
        return []
    rows = [
        (
            *row,
            *(
                f"{claims[name]['verdict']}: {claims[name]['figures']}" if name in claims else ""
                for name in conditions
            ),
        )
        for row, claims in compared.items()
    ]
    return ["### Section 3 under other conditions", table_text(("experiment", "claim", *conditions), rows)]


def compared_claims(records: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the claims with conditions: by experiment and text, then by condition."""
    compared: dict[tuple[str, str], dict[str, Any]] = {}
    for record in records:
        for claim in record["claims"]:
            if claim.get("condition"):
                compared.setdefault((record["name"], claim["text"]), {})[claim["condition"]] = claim
    return compared


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
