"""Which texts of claims may be redistributed: by the code or modifier that each describes, and by nothing else.

A text stays where its code is known to be CMS's on the line's day; all else is blanked. Nothing here reads or writes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hcpcs.annotate.lookup import Lookup
from hcpcs.annotate.values import UnusableColumn, flags, is_text

#: Statuses of a code that CMS published by that day.
PUBLISHED = ("valid", "expired", "purged_unknown")
_MODIFIER_WORD = re.compile(r"(?:^|[^a-z])(?:mod|mods|modifier|modifiers)(?:[^a-z]|$)")
#: What a column of numbers, of short signs, of single words does not have.
_LETTER, _WORD, _SEVERAL = "[A-Za-z]", "[A-Za-z]{3}", r"\S\s+\S"
#: The share of a column's values that shows what the column holds.
_MOST = 0.95


def judges_of(
    redact: Sequence[str], codes: Sequence[str], modifiers: Sequence[str], used: Sequence[str], schema: pa.Schema
) -> dict[str, tuple[str, ...]]:
    """The columns that each column of ``redact`` is judged by: ``codes``, or the one stated as ``COLUMN=JUDGE``.

    Raises ``UnusableColumn`` for a column that is not there, holds no text, or cannot be judged. ``used``: columns
    that hold codes, days or amounts.
    """
    found: dict[str, tuple[str, ...]] = {}
    for text in redact:
        name, _, judge = (text, "", "") if text in schema.names else text.rpartition("=")
        name = name or text
        if name not in schema.names:
            raise UnusableColumn(f"the claims have no column {name!r} to redact; they have: {', '.join(schema.names)}")
        kind = schema.field(name).type
        if not (pa.types.is_null(kind) or is_text(kind.value_type if pa.types.is_dictionary(kind) else kind)):
            raise UnusableColumn(f"column {name!r} is {kind}, not text: it has no descriptions")
        if name in used:
            raise UnusableColumn(f"column {name!r} is named to be read and to be redacted; descriptions are in another")
        if judge and judge not in (*codes, *modifiers):
            raise UnusableColumn(
                f"column {name!r} cannot be judged by {judge!r}: name it with --code or --modifier as well"
            )
        if not judge and _seems_of_a_modifier(name, modifiers):
            of = modifiers[0] if len(modifiers) == 1 else "MODIFIER_COLUMN"
            raise UnusableColumn(
                f"column {name!r} may describe a modifier or the code: state the column that it is judged by, "
                f"--redact '{name}={of}' or --redact '{name}={codes[0]}'"
            )
        judges = (judge,) if judge else tuple(codes)
        if found.setdefault(name, judges) != judges:
            first, second = (", ".join(map(repr, j)) for j in (found[name], judges))
            raise UnusableColumn(f"column {name!r} is to be judged by {first} and by {second}: state one of them")
    return found


def _seems_of_a_modifier(name: str, modifiers: Sequence[str]) -> bool:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return bool(_MODIFIER_WORD.search(spaced)) or any(m.lower() in name.lower() for m in modifiers)


def published_answers(lookup: Lookup) -> np.ndarray:
    """Which answers are of codes that CMS published by that day, with texts of its own."""
    status = lookup.column("code_status_on_date").cast(pa.string())
    is_open = pc.equal(lookup.column("redistribution").cast(pa.string()), "open")
    return flags(pc.and_(is_open, pc.is_in(status, value_set=pa.array(PUBLISHED))))


class ShiftedLines:
    """Lines of delimited text that do not fit their columns: there a description may be in any of these."""

    def __init__(self, sample: pa.Table) -> None:
        """``sample``: first lines, of the columns that are not redacted anyway."""
        self._columns = sample.column_names
        self._unfit: dict[str, str] = {}
        self._filled = [n for n in self._columns if sample[n].null_count <= (1 - _MOST) * sample.num_rows]
        for name in self._columns:
            given = sample[name].drop_null()
            for pattern in (_LETTER, _WORD, _SEVERAL):
                found = flags(pc.match_substring_regex(given, pattern))
                misfits = np.count_nonzero(found)
                # Of few values one may be of a shifted line.
                if misfits <= max(1, (1 - _MOST) * len(given)) and 2 * misfits < len(given):
                    self._unfit[name] = pattern
                    break

    def have_gaps(self, claims: pa.Table, columns: Sequence[str]) -> np.ndarray:
        """Which lines have nothing in one of ``columns``, or in a column that is filled in most lines."""
        names = dict.fromkeys([*columns, *self._filled])
        gaps: np.ndarray = np.logical_or.reduce([~flags(pc.not_equal(claims[name], "")) for name in names])
        return gaps

    def words(self, claims: pa.Table, withheld: np.ndarray, read: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """By column, which of the ``withheld`` lines are shifted and have words there; ``read``: where it is a code."""
        places = np.flatnonzero(withheld)
        lines = claims.take(pa.array(places))
        is_code = {name: codes[places] for name, codes in read.items()}
        shifted = np.zeros(len(places), bool)
        for name, pattern in self._unfit.items():
            unfit = flags(pc.match_substring_regex(lines[name], pattern))
            shifted |= unfit & ~is_code[name] if name in is_code else unfit
        found: dict[str, np.ndarray] = {}
        for name in self._columns if shifted.any() else ():
            words = shifted & flags(pc.match_substring_regex(lines[name], f"{_WORD}|{_SEVERAL}"))
            words = words & ~is_code[name] if name in is_code else words
            if words.any():
                found[name] = np.zeros(len(withheld), bool)
                found[name][places[words]] = True
        return found


def blanked(column: pa.ChunkedArray, lost: np.ndarray) -> pa.ChunkedArray:
    """A column with the ``lost`` lines null."""
    plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    return pc.if_else(pa.array(lost), pa.scalar(None, plain.type), plain)
