"""What an annotation is asked to do, checked against the columns that the claims have. No value is read here."""

from __future__ import annotations

import datetime as dt
import difflib
import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from hcpcs.annotate.amounts import is_amount
from hcpcs.annotate.dates import stated_form
from hcpcs.annotate.lookup import DEFAULT_COLUMNS
from hcpcs.annotate.redaction import judges_of
from hcpcs.annotate.values import NULL_WORDS, MissingColumn, UnusableColumn

#: Columns that are named in a message one by one.
_FEW_COLUMNS = 20


@dataclass(frozen=True, slots=True)
class Request:
    """What is requested: names of columns, and what to do with them."""

    code: str
    date: str | None = None
    date_else: str | None = None
    on: dt.date | None = None
    modifiers: tuple[str, ...] = ()
    columns: tuple[str, ...] = DEFAULT_COLUMNS
    redact: tuple[str, ...] = ()
    #: By column to redact, the columns that it is judged by.
    judges: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    amount: str | None = None
    #: Form by column of dates; ``""``: of every one.
    date_formats: Mapping[str, str] = field(default_factory=dict)
    decimal: str | None = None
    null_words: tuple[str, ...] = NULL_WORDS
    #: Further columns of codes; with them each added column is one for each column of codes, named after it.
    more_codes: tuple[str, ...] = ()

    @property
    def codes(self) -> tuple[str, ...]:
        """The columns of codes."""
        return (self.code, *self.more_codes)

    def name_of(self, code: str, column: str) -> str:
        """What a column is called that is added for a column of codes."""
        if not self.more_codes:
            return column
        return f"{code}_{'status' if column == 'code_status_on_date' else column}"

    @property
    def added(self) -> list[str]:
        """All columns that are added, in their order."""
        added = [self.name_of(code, column) for code in self.codes for column in self.columns]
        return [*added, *(f"{m}_status" for m in self.modifiers)]

    @property
    def dates(self) -> list[str]:
        """The columns of dates."""
        return [c for c in (self.date, self.date_else) if c]


def several(names: str | Sequence[str]) -> tuple[str, ...]:
    """One name, or several."""
    return (names,) if isinstance(names, str) else tuple(names)


def checked_request(
    schema: pa.Schema,
    *,
    code: str | Sequence[str],
    columns: Sequence[str],
    modifiers: Sequence[str] = (),
    redact: Sequence[str] = (),
    date_formats: Sequence[str] = (),
    nulls: Sequence[str] = (),
    **others: Any,
) -> Request:
    """The options of ``annotate`` as a request to claims of a schema; raises ``UnusableColumn``."""
    request = Request(
        code="",
        more_codes=several(code),
        modifiers=several(modifiers),
        columns=several(columns),
        redact=several(redact),
        date_formats=_formats(several(date_formats)),
        null_words=(*NULL_WORDS, *(word.strip().upper() for word in several(nulls))),
        **others,
    )
    return _checked(request, schema)


def _formats(stated: Sequence[str]) -> dict[str, str]:
    """Forms of dates by column, ``""`` for every column, from ``FORM`` or ``COLUMN=FORM``."""
    pairs = [text.rpartition("=") for text in stated]
    return {column: stated_form(form) for column, _, form in pairs}


def _alike(name: str, names: list[str]) -> str:
    """The names that were perhaps meant; all of them where there are few."""
    if len(names) == 1 and re.search(r"\W", names[0]):
        return f"their one column is {names[0]!r}; if it should be several, state what separates them: --delimiter"
    if len(names) <= _FEW_COLUMNS:
        return f"they have: {', '.join(names)}"
    near = difflib.get_close_matches(name, names, n=5, cutoff=0.5)
    return f"of their {len(names)} columns the most alike are: {', '.join(near)}" if near else "none is alike"


def _checked(request: Request, schema: pa.Schema) -> Request:
    """The request with patterns replaced by names; raises ``UnusableColumn`` for what the claims do not have."""

    def there(name: str) -> str:
        if schema.names.count(name) > 1:
            raise UnusableColumn(f"the claims have several columns named {name!r}; rename all but one")
        if name not in schema.names:
            raise MissingColumn(name, f"the claims have no column {name!r}; {_alike(name, schema.names)}")
        return name

    redacted = {text.rpartition("=")[0] or text for text in request.redact}

    def matching(patterns: Iterable[str]) -> tuple[str, ...]:
        found: list[str] = []
        for pattern in patterns:
            exact = [pattern] if pattern in schema.names else []
            matches = [n for n in schema.names if fnmatch.fnmatchcase(n, pattern) and n not in redacted]
            found += exact or matches or [there(pattern)]
        return tuple(dict.fromkeys(found))

    code, *more_codes = matching(request.more_codes)
    request = replace(
        request,
        code=code,
        more_codes=tuple(more_codes),
        modifiers=matching(request.modifiers),
        columns=tuple(dict.fromkeys(request.columns)),
    )
    if more_codes and request.amount:
        raise UnusableColumn("an amount is added up by the code of its line: name one column of codes, or no amount")
    if (request.date is None) == (request.on is None) or (request.on and request.date_else):
        raise UnusableColumn(
            "the date comes from a column (date, date_else) or is the same for all lines (on): state one of them"
        )
    used = (*request.codes, *request.modifiers, *request.dates, *filter(None, (request.amount,)))
    for name in used:
        there(name)
    for name in filter(None, request.date_formats):
        if name not in request.dates:
            raise UnusableColumn(f"a date format is stated for {name!r}, which is not one of the named date columns")
    if request.amount and not is_amount(schema.field(request.amount).type):
        raise UnusableColumn(f"column {request.amount!r} is {schema.field(request.amount).type}, not a number")
    twice = sorted({n for n in schema.names if schema.names.count(n) > 1})
    if twice:
        raise UnusableColumn(f"the claims have several columns named {', '.join(map(repr, twice))}; rename all but one")
    given = {name.casefold(): name for name in schema.names}
    taken = [given[c.casefold()] for c in request.added if c.casefold() in given]
    if taken:
        raise UnusableColumn(f"the claims have {', '.join(taken)} already; rename, or name other columns to add")
    return replace(request, judges=judges_of(request.redact, request.codes, request.modifiers, used, schema))
