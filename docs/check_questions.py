"""Ask the search of the built site what newcomers ask: the right page has to be among the first hits.

    python docs/check_questions.py docs/_build/html docs/questions.md

The search is that of Sphinx (``searchtools.js``) on the index that the browser loads: every word has to be in
a page; words in titles count more than words in the text, and equal pages follow each other by title.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from sphinx.search.en import SearchEnglish

#: The right page is among so many first hits.
FIRST = 3
#: Scores of `searchtools.js`.
TITLE, PARTIAL_TITLE, TERM, PARTIAL_TERM = 15, 7, 5, 2
NAME, PARTIAL_NAME = 11, 6
#: A row of the table of questions: question, words, page.
ROW = re.compile(
    r"^\| (?P<question>[^|]+\?) \| `(?P<words>[^`]+)` \| \[[^]]+\]\((?P<page>[^)#]+)[^)]*\) \|$", re.M
)


class Search:
    """The search of a built site.

    Parameters
    ----------
    site : Path
        The folder with ``searchindex.js``.
    """

    def __init__(self, site: Path) -> None:
        text = (site / "searchindex.js").read_text(encoding="utf-8")
        self.index: dict[str, Any] = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
        self.language = SearchEnglish({})

    def hits(self, query: str) -> list[str]:
        """Return the names of the pages found, best first, each once."""
        scores: dict[tuple[str, str], float] = {}
        for page, title, score in [*self._titles(query), *self._objects(query), *self._pages(query)]:
            name = self.index["docnames"][page]
            scores[name, title] = max(score, scores.get((name, title), 0))
        ordered = sorted(scores, key=lambda hit: (-scores[hit], hit[1].lower()))
        return list(dict.fromkeys(name for name, _ in ordered))

    def _titles(self, query: str) -> list[tuple[int, str, float]]:
        query = query.lower().strip()
        found = []
        for title, places in self.index["alltitles"].items():
            if query in title.lower() and len(query) >= len(title) / 2:
                for page, _ in places:
                    whole = self.index["titles"][page]
                    shown = title if whole == title else f"{whole} > {title}"
                    found.append((page, shown, round(TITLE * len(query) / len(title)) + (whole == title)))
        return found

    def _objects(self, query: str) -> list[tuple[int, str, float]]:
        words = set(re.findall(r"[\w.]+", query.lower()))
        found = []
        for prefix, entries in self.index["objects"].items():
            for page, kind, priority, _, name in entries:
                full = f"{prefix}.{name}".lower()
                about = f"{full} {self.index['objnames'][str(kind)][2]} {self.index['titles'][page]}".lower()
                for word in words:
                    if word not in full or any(other not in about for other in words - {word}):
                        continue
                    last = full.split(".")[-1]
                    score = NAME if word in (full, last) else PARTIAL_NAME if word in last else 0
                    found.append((page, f"{prefix}.{name}", score + {0: 15, 1: 5, 2: -5}.get(priority, 0)))
        return found

    def _pages(self, query: str) -> list[tuple[int, str, float]]:
        words = {
            self.language.stem(word)
            for word in re.findall(r"\w+", query.lower())
            if word not in self.language.stopwords and not word.isdigit()
        }
        places = [self._places(word) for word in words]
        wanted = [found for word, found in zip(words, places, strict=True) if len(word) > 2 or found]
        if not wanted:
            return []
        common = set.intersection(*(set(found) for found in wanted))
        return [(page, self.index["titles"][page], max(f.get(page, 0) for f in wanted)) for page in common]

    def _places(self, word: str) -> dict[int, int]:
        """Return the pages with a word, and its score there; titles take precedence, as they come later."""
        found: dict[int, int] = {}
        parts = []
        for terms, whole, partial in (("terms", TERM, PARTIAL_TERM), ("titleterms", TITLE, PARTIAL_TITLE)):
            known = self.index[terms]
            if word in known:
                found |= dict.fromkeys(_pages_of(known[word]), whole)
            elif len(word) > 2:
                parts += [(pages, partial) for term, pages in known.items() if word in term]
        for pages, score in parts:
            found |= dict.fromkeys(_pages_of(pages), score)
        return found


def _pages_of(entry: int | list[int]) -> list[int]:
    return [entry] if isinstance(entry, int) else entry


def main(site: str, questions: str) -> int:
    """Print each question whose page is not among the first hits; return 1 if there is one."""
    search = Search(Path(site))
    rows = list(ROW.finditer(Path(questions).read_text(encoding="utf-8")))
    if len(rows) < 30:
        print(f"{questions}: expected at least 30 questions, got {len(rows)}")
        return 1
    missed = 0
    for row in rows:
        hits = search.hits(row["words"])
        page = row["page"].removesuffix(".md").replace("tutorials/", "gallery/").removesuffix(".py")
        if page not in hits[:FIRST]:
            missed += 1
            place = hits.index(page) + 1 if page in hits else "not"
            print(f"{row['words']!r}: {page} is {place} among {len(hits)}, first {hits[:FIRST]}")
    print(f"{len(rows) - missed} of {len(rows)} questions lead to their page within {FIRST} hits")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
