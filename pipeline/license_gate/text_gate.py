"""What is looked for in a text, whatever its place: tokens, and withheld texts. Collects what is found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import polars as pl

from pipeline.license_gate.as_read import MIN_TEXT_LETTERS, as_read, compared_form, with_read_forms
from pipeline.license_gate.policy import Cell, Policy
from pipeline.license_gate.report import GateReport, Leak
from pipeline.license_gate.tokens import DIGIT, HOLDS_TOKEN, SLASHED_DATE, TOKEN

SHOWN_TEXT = 60

FOREIGN_TOKEN = "shaped like a CPT or CDT code"
_WITHHELD_TEXT = "the text of a withheld description"


class TextGate:
    """A look at texts: which leak, by the policy, and how many cells are kept."""

    def __init__(self, policy: Policy, forbidden_texts: Iterable[str]) -> None:
        self.policy = policy
        self.leaks: list[Leak] = []
        self.kept: Counter[tuple[str, str, str]] = Counter()
        self.kept_texts: set[str] = set()
        self.values = 0
        #: Texts without a token, in whatever place.
        self._harmless: set[str] = set()
        plain = {compared_form(text) for text in forbidden_texts}
        # A text within a longer forbidden one is enough to look for.
        self.forbidden = sorted(t for t in plain if len(t) >= MIN_TEXT_LETTERS)

    def report(self, files: int) -> GateReport:
        """What was seen in so many files."""
        return GateReport(files, self.values, dict(self.kept), tuple(self.leaks))

    def leak(self, table: str, column: str, key: str, token: str, why: str, text: str = "") -> None:
        """Note a leak."""
        self.leaks.append(Leak(table, column, key, token, why, text))

    def _holding(self, texts: Iterable[str]) -> set[str]:
        """Those of ``texts`` that may hold a token; the others are harmless wherever else they are."""
        distinct = set(texts)
        self.values += len(distinct)
        unknown = pl.Series(list(distinct - self._harmless), dtype=pl.String)
        holding = set(with_read_forms(unknown).filter(pl.col("read").str.contains(HOLDS_TOKEN))["text"])
        self._harmless |= distinct - holding
        return holding

    def look_at_text(self, table: str, column: str, place: str, text: str) -> None:
        """Look for tokens in one text of a file or of metadata."""
        self.values += 1
        if text in self._harmless:
            return
        tokens = list(self._tokens(Cell(table, column, text)))
        if not tokens:
            self._harmless.add(text)
        for token, condition in tokens:
            if condition is None:
                self.leak(table, column, place, token, FOREIGN_TOKEN, text)
            else:
                self.kept[table, column, condition] += 1

    def _tokens(self, cell: Cell) -> Iterator[tuple[str, str | None]]:
        """The tokens of a text, as it is and as it is read, each with the condition that lets it stand, or None."""
        found = list(self._tokens_as_written(cell))
        yield from found
        if (read := as_read(cell.text)) != cell.text:
            known = {token for token, _ in found}
            yield from (t for t in self._tokens_as_written(replace(cell, text=read)) if t[0] not in known)

    def _tokens_as_written(self, cell: Cell) -> Iterator[tuple[str, str | None]]:
        if not DIGIT.search(cell.text):
            return
        dates = [m.span() for m in SLASHED_DATE.finditer(cell.text)]
        for token in TOKEN.finditer(cell.text):
            if not any(start <= token.start(1) and token.end(1) <= end for start, end in dates):
                yield token.group(1), self.policy.keeps(cell, token)

    def _look_for_withheld(
        self, table: str, column: str, texts: Iterable[str], places: Callable[[str], list[str]]
    ) -> None:
        distinct = pl.Series(list(dict.fromkeys(texts)), dtype=pl.String)
        if not self.forbidden or distinct.is_empty():
            return
        found: dict[str, str] = {}
        for text, read in with_read_forms(distinct).iter_rows():
            squeezed = compared_form(read)
            if (words := next((t for t in self.forbidden if t in squeezed), None)) is not None:
                found.setdefault(text, words)
        for text, words in found.items():
            for place in places(text):
                self.leak(table, column, place, words[:SHOWN_TEXT], _WITHHELD_TEXT, text)

    def _holds_withheld(self) -> pl.Expr:
        """Whether ``read`` holds a withheld text."""
        plain = pl.col("read").str.to_lowercase().str.replace_all(r"[^a-z0-9]", "")
        return plain.str.contains("|".join(self.forbidden)) if self.forbidden else pl.lit(False)
