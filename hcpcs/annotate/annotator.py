"""One request against one version: what each line's code is, meant on its day, became, and whose it is.

The answers come from ``hcpcs.annotate.lookup``; what is counted on the way goes to ``hcpcs.annotate.summary``. Nothing
here reads or writes a file.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hcpcs.annotate.amounts import decimal_mark
from hcpcs.annotate.dates import date_form, days_of
from hcpcs.annotate.files import Claims, head, metadata_of, text_columns
from hcpcs.annotate.lookup import LINE_COLUMNS, STATUSES, Lookup, VersionTables, take
from hcpcs.annotate.parsing import RULES, modifier_pattern, read_codes, texts_of_keys
from hcpcs.annotate.redaction import ShiftedLines, blanked, published_answers
from hcpcs.annotate.request import Request
from hcpcs.annotate.summary import Tally
from hcpcs.annotate.values import NULL_WORDS, UnusableColumn, flags, is_nothing, is_text
from hcpcs.errors import present

#: Distinct values that are looked at to tell a date's form, and whether codes lost their zeros.
_ENOUGH_VALUES = 20
#: A dictionary is cut down to what a part uses where it has more entries than this share of the part's lines.
_LINES_PER_ENTRY = 20
#: By column of codes or modifiers, what was read and which lines have a code that CMS published by their day.
_Judged: TypeAlias = "dict[str, tuple[_CodeColumn, np.ndarray]]"
#: Each column of codes with its lines' answers.
_Answered: TypeAlias = "list[tuple[_CodeColumn, np.ndarray]]"


class Annotator:
    """One request against one version: adds the columns to a part of the claims, and counts."""

    def __init__(self, tables: VersionTables, request: Request, claims: Claims) -> None:
        self.request = request
        self.version = tables.version
        self.lookup = Lookup(tables)
        kinds = ("modifier", "ambulance_modifier") if request.modifiers else ()
        self._modifier_lookups = {kind: Lookup(tables, kind) for kind in kinds}
        on_ambulance = pc.equal(self.lookup.column("modifier_kind").cast(pa.string()), "ambulance_modifier")
        self._on_ambulance = flags(on_ambulance.fill_null(False))
        self._reading = (modifier_pattern(known_modifiers(tables)), request.null_words)
        texts = [*request.codes, *request.modifiers, *request.dates]
        self.dictionaries = [] if claims.is_csv else text_columns(claims.schema, list(dict.fromkeys(texts)))
        dates = request.dates
        widths = dict.fromkeys(request.codes, 5) | dict.fromkeys(request.modifiers, 2)
        sampled = dict.fromkeys((*widths, *dates, *filter(None, [request.amount])))
        samples = _samples(claims, sampled, dates, request.null_words)
        self.numeric = {c: _is_numeric(claims, c, width, samples.get(c)) for c, width in widths.items()}
        self.forms = {
            c: date_form(
                c,
                _value_type(claims.schema.field(c).type),
                samples.get(c),
                stated=request.date_formats.get(c, request.date_formats.get("")),
                words=request.null_words,
            )
            for c in dates
        }
        delimiters = {f.dialect.delimiter for f in claims.files if f.dialect is not None}
        amounts = samples.get(request.amount) if request.amount else None
        self.decimal = request.decimal or decimal_mark(amounts, delimiters.pop() if len(delimiters) == 1 else None)
        used = [*request.codes, *request.dates, *filter(None, [request.amount]), *request.modifiers]
        self.columns_used = list(dict.fromkeys([*used, *request.judges]))
        judging = (self.lookup, *self._modifier_lookups.values()) if request.judges else ()
        self._published = {lookup.kind: published_answers(lookup) for lookup in judging}
        self._shifted = None
        if request.judges and claims.is_csv:
            others = [n for n in claims.schema.names if n not in request.judges]
            self._shifted = ShiftedLines(next(iter(head(claims, others)), claims.schema.empty_table().select(others)))
            self.columns_used = list(claims.schema.names)
        self.after_newest = _end_of_quarter(tables)
        self.claims = claims
        self.tally = Tally(self.lookup.answer_count, request)

    @cached_property
    def columns(self) -> dict[str, pa.Array]:
        """The added columns that answers give: a value for each answer."""
        return {c: self.lookup.column(c) for c in self.request.columns if c not in LINE_COLUMNS}

    @cached_property
    def schema(self) -> pa.Schema:
        """The claims' columns and the added ones, with what is reported of the version in the metadata."""
        given = self.claims.schema
        if self.request.redact:  # notes on a file and its columns are words, too
            given = pa.schema([f.remove_metadata() for f in given])
        text = pa.dictionary(pa.int32(), pa.string())
        request = self.request
        kinds = [self.columns[c].type if c in self.columns else text for c in request.columns] * len(request.codes)
        kinds += [text] * len(request.modifiers)
        added = [pa.field(name, kind) for name, kind in zip(request.added, kinds, strict=True)]
        stated = {
            "code": ",".join(request.codes),
            "date": request.date,
            "date_else": request.date_else,
            "on": request.on,
        }
        options = {k: str(v) for k, v in stated.items() if v is not None}
        metadata = metadata_of({"version": self.version, "annotate": json.dumps(options)})
        return pa.schema([*given, *added], metadata={**(given.metadata or {}), **metadata})

    def count(self, claims: pa.Table) -> None:
        """Count a part, add nothing."""
        tally = self.tally.like()
        self._answer(claims, tally)
        self.tally.add(tally)

    def annotate(self, claims: pa.Table) -> pa.Table:
        """A part with its columns added, counted as well."""
        tally = self.tally.like()
        answered, modifiers, lost = self._answer(claims, tally)
        out = claims.replace_schema_metadata() if self.request.redact else claims
        for name, lines in lost.items():
            out = out.set_column(out.schema.names.index(name), name, blanked(out[name], lines))
        for code, (codes, answers) in zip(self.request.codes, answered, strict=True):
            places = pa.array(answers)
            for name in self.request.columns:
                if name in LINE_COLUMNS:
                    column = codes.texts() if name == "normalized_code" else codes.modifiers()
                else:
                    column = pc.take(self.columns[name], places, boundscheck=False)
                out = out.append_column(self.request.name_of(code, name), _compact(column))
        for name, statuses in modifiers.items():
            out = out.append_column(f"{name}_status", statuses)
        self.tally.add(tally)
        return _one_dictionary_each(out)

    def _answer(self, claims: pa.Table, tally: Tally) -> tuple[_Answered, dict[str, pa.Array], dict[str, np.ndarray]]:
        """Codes with their answers, statuses of modifiers, and by column the lines that are to be blanked."""
        request = self.request
        days, dated = self._days(claims, tally)
        periods = self.lookup.periods_of_days(days, dated)
        tally.lines += claims.num_rows
        answered: _Answered = []
        for name in request.codes:
            codes = _CodeColumn(claims[name], self.lookup, *self._reading, numeric=self.numeric[name])
            answers = self.lookup.answers(codes.rows, periods)
            # Of several columns most are empty on most lines: what is not there is not counted.
            counted = answers[codes.given()] if request.more_codes else answers
            tally.count_answers(counted, claims[request.amount] if request.amount else None, self.decimal)
            codes.count(tally, dated, self.lookup.is_unknown[self.lookup.first_answers(codes.distinct_keys)])
            answered.append((codes, answers))
        if days.max(initial=self.after_newest - 1) >= self.after_newest:
            tally.after_newest_release += int(np.count_nonzero((days >= self.after_newest) & dated))
        modifiers: dict[str, pa.Array] = {}
        judged: _Judged = {}
        if request.judges:
            for name, (codes, answers) in zip(request.codes, answered, strict=True):
                judged[name] = codes, self._published["procedure"][answers]
        is_ambulance = [self._on_ambulance[answers] for _, answers in answered if request.modifiers]
        on_ambulance = np.flatnonzero(np.logical_or.reduce(is_ambulance)) if is_ambulance else np.empty(0, np.int64)
        for name in request.modifiers:
            column, found = self._modifier_answers("modifier", name, claims[name], days, dated)
            status, given = self._modifier_lookups["modifier"].status.astype(np.int32)[found], column.given()
            if request.judges:
                judged[name] = column, self._published["modifier"][found]
            if len(on_ambulance):
                theirs = claims[name].take(pa.array(on_ambulance))
                _, found = self._modifier_answers(
                    "ambulance_modifier", name, theirs, days[on_ambulance], dated[on_ambulance]
                )
                status[on_ambulance] = self._modifier_lookups["ambulance_modifier"].status[found]
                if request.judges:
                    judged[name][1][on_ambulance] = self._published["ambulance_modifier"][found]
            tally.modifiers[name] += np.bincount(status[given], minlength=len(STATUSES))
            modifiers[name] = pa.DictionaryArray.from_arrays(pa.array(status, mask=~given), pa.array(STATUSES))
        return answered, modifiers, self._lost(claims, judged, tally)

    def _modifier_answers(
        self, kind: str, name: str, values: pa.ChunkedArray, days: np.ndarray, dated: np.ndarray
    ) -> tuple[_CodeColumn, np.ndarray]:
        """A column of modifiers, and the answer for each line."""
        lookup = self._modifier_lookups[kind]
        column = _CodeColumn(values, lookup, *self._reading, numeric=self.numeric[name])
        return column, lookup.answers(column.rows, lookup.periods_of_days(days, dated))

    def _days(self, claims: pa.Table, tally: Tally) -> tuple[np.ndarray, np.ndarray]:
        if self.request.on is not None:
            day = (self.request.on - dt.date(1970, 1, 1)).days
            return np.full(claims.num_rows, day, np.int32), np.ones(claims.num_rows, bool)
        days, dated = self._days_of(present(self.request.date), claims, tally)
        if self.request.date_else is not None and not dated.all():
            other, also = self._days_of(self.request.date_else, claims, tally)
            days, dated = np.where(dated, days, other), dated | also
        return days, dated

    def _days_of(self, name: str, claims: pa.Table, tally: Tally) -> tuple[np.ndarray, np.ndarray]:
        form, found, words = self.forms[name], [], self.request.null_words
        by_value = not pa.types.is_temporal(claims.schema.field(name).type) and (
            form != "number" or words != NULL_WORDS
        )
        column = claims[name]
        for values in _by_value(column) if by_value or pa.types.is_dictionary(column.type) else column.chunks:
            blank = values.null_count
            if pa.types.is_dictionary(values.type):
                each, read = days_of(values.dictionary, form)
                nothing = is_nothing(values.dictionary, words)
                read &= ~nothing
                places = _places(values.indices, len(read))
                days, valid = take(np.append(each, 0).astype(np.int32), places), np.append(read, False)[places]
                if nothing.any():
                    blank += int(np.count_nonzero(np.append(nothing, False)[places]))
            else:
                days, valid = days_of(values, form)
            tally.unreadable_dates[name] += len(valid) - int(np.count_nonzero(valid)) - blank
            tally.null_dates[name] += blank
            found.append((days, valid))
        if not found:
            return np.empty(0, np.int32), np.empty(0, bool)
        if len(found) == 1:
            return found[0]
        return np.concatenate([d for d, _ in found]), np.concatenate([v for _, v in found])

    def _lost(self, claims: pa.Table, judged: _Judged, tally: Tally) -> dict[str, np.ndarray]:
        """By column, the lines that are to be blanked."""
        lost: dict[str, np.ndarray] = {}
        for name, judges in self.request.judges.items():
            is_code = judges[0] in self.request.codes
            lookup = self.lookup if is_code else self._modifier_lookups["modifier"]
            keys = np.full(claims.num_rows, -1, np.int32)
            withheld, any_given = np.zeros(claims.num_rows, bool), np.zeros(claims.num_rows, bool)
            for judge in judges:
                codes, published = judged[judge]
                # A code that is not there decides nothing beside one that is.
                given = codes.given() if len(judges) > 1 else np.ones(claims.num_rows, bool)
                closed = given & ~published
                keys = np.where(closed & ~withheld, codes.keys(), keys)
                withheld |= closed
                any_given |= given
            lost[name] = withheld | ~any_given
            if self._shifted is not None and not is_code:
                # A code's text that is missing may have shifted to where a modifier's belongs.
                of_codes = [n for n, by in self.request.judges.items() if by[0] in self.request.codes]
                no_code = np.logical_and.reduce([~judged[code][1] for code in self.request.codes])
                lost[name] |= no_code & self._shifted.have_gaps(claims, of_codes)
            distinct, values = np.unique(keys[claims[name].is_valid().to_numpy() & lost[name]], return_counts=True)
            licenses = lookup.column("license_id").take(pa.array(lookup.first_answers(distinct)))
            tally.count_redacted(licenses, texts_of_keys(distinct, lookup.width), values)
        if self._shifted is not None:
            read = {name: column.keys() >= 0 for name, (column, _) in judged.items()}
            misplaced = self._shifted.words(claims, np.logical_or.reduce([*lost.values()]), read)
            tally.misplaced.update({name: int(np.count_nonzero(lines)) for name, lines in misplaced.items()})
            lost |= misplaced
        return lost


class _CodeColumn:
    """A part's codes: for each line the row of the lookup's table, and what its distinct values are."""

    def __init__(
        self, column: pa.ChunkedArray, lookup: Lookup, modifiers: str, words: Sequence[str], *, numeric: bool
    ) -> None:
        self._lookup, self._words = lookup, words
        self._chunks = []
        rows = []
        for encoded in _by_value(column):
            values = _texts(encoded.dictionary)
            read = read_codes(values, lookup.width, numeric=numeric, modifiers=modifiers, words=words)
            starts = lookup.rows_of_keys(read.keys)
            starts = np.append(starts, lookup.rows_of_keys(np.array([-1])))  # where the value is null
            places = _places(encoded.indices, len(values))
            rows.append(take(starts, places))
            self._chunks.append((places, values, read))
        self.rows = rows[0] if len(rows) == 1 else np.concatenate(rows) if rows else np.empty(0, np.int32)
        self.distinct_keys = np.concatenate([r.keys for _, _, r in self._chunks] or [np.empty(0, np.int32)])

    def given(self) -> np.ndarray:
        """Which lines have a value that is not blank."""
        found = []
        for places, values, read in self._chunks:
            filled = np.append(read.keys >= 0, False)
            odd = np.flatnonzero(read.keys < 0)
            filled[odd] = ~is_nothing(values.take(pa.array(odd)), self._words)
            found.append(filled[places])
        return np.concatenate(found) if found else np.empty(0, bool)

    def texts(self) -> pa.ChunkedArray:
        """The codes as they were read, normalized."""
        return self._spread(lambda read: read.texts(self._lookup.width))

    def modifiers(self) -> pa.ChunkedArray:
        """Modifiers that stood behind the code, apart by blanks."""
        return self._spread(lambda read: read.modifiers)

    def _spread(self, values_of: Callable[[Any], pa.Array]) -> pa.ChunkedArray:
        kind = pa.dictionary(pa.int32(), pa.string())
        chunks = []
        for places, _, read in self._chunks:
            distinct = values_of(read).dictionary_encode()
            indices = pa.concat_arrays([distinct.indices, pa.nulls(1, pa.int32())])
            chunks.append(pa.DictionaryArray.from_arrays(pc.take(indices, pa.array(places)), distinct.dictionary))
        return pa.chunked_array([c.cast(kind) for c in chunks], kind)

    def count(self, tally: Tally, dated: np.ndarray, unknown: np.ndarray) -> None:
        """Count what was odd: lines whose code was null, read by a rule, of no shape, or in no release."""
        first_line = first_value = 0
        for places, values, read in self._chunks:
            lines = slice(first_line, first_line + len(places))
            is_unknown = unknown[first_value : first_value + len(values)]
            first_line, first_value = lines.stop, first_value + len(values)
            shapeless = read.keys < 0
            is_odd = np.append(shapeless | (read.rules > 0) | is_unknown, True)  # a null is odd as well
            odd_lines = np.flatnonzero(take(is_odd.view(np.uint8), places).view(bool))
            found = places[odd_lines]
            whole = np.bincount(found, minlength=len(values) + 1)
            tally.null_codes += int(whole[-1])
            whole = whole[:-1]
            with_day = np.bincount(found[dated[lines][odd_lines]], minlength=len(values) + 1)[:-1]
            for bit in range(len(RULES)):
                tally.rules[bit] += int(whole[(read.rules >> bit) & 1 == 1].sum())
            seen = np.flatnonzero(is_unknown & (with_day > 0))
            tally.unknown_codes.count(pa.array(read.keys[seen]), with_day[seen])
            odd = np.flatnonzero(shapeless & (whole > 0))
            given = values.take(pa.array(odd))
            blank = is_nothing(given, self._words)
            tally.null_codes += int(whole[odd[blank]].sum())
            tally.unknown_shapes.count(given.filter(pa.array(~blank)), whole[odd[~blank]])

    def keys(self) -> np.ndarray:
        """The number of each line's code, -1 where it has no shape."""
        found = [np.append(read.keys, -1)[places] for places, _, read in self._chunks]
        return np.concatenate(found) if found else np.empty(0, np.int32)


def known_modifiers(tables: VersionTables) -> list[str]:
    """CMS's modifiers of all days, with the pairs of an ambulance's origin and destination."""
    rows = tables.validity
    stated = pc.and_(pc.not_equal(rows["kind"], "procedure"), pc.invert(rows["is_interval"]))
    known: list[str] = pc.unique(rows.filter(stated)["first_code"]).to_pylist()
    return known


def _samples(
    claims: Claims, columns: Iterable[str], needed: Sequence[str], words: Sequence[str]
) -> dict[str, pa.Array]:
    """Distinct values of columns in the claims' first lines, and on until the ``needed`` columns have some."""
    found: dict[str, pa.Array] = {}
    for name in columns:
        kind = _value_type(claims.schema.field(name).type)
        if is_text(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            found[name] = pa.nulls(0, kind)
    if not found:
        return found
    for table in head(claims, list(found)):
        for name, before in found.items():
            if len(before) < _ENOUGH_VALUES:
                values = table[name]
                plain = values.cast(before.type) if pa.types.is_dictionary(values.type) else values
                values = pc.unique(plain)
                values = values.filter(pa.array(~is_nothing(values, words)))
                found[name] = pc.unique(pa.concat_arrays([before, values]))
        if all(len(found[name]) for name in needed if name in found):
            break
    return found


def _is_numeric(claims: Claims, column: str, width: int, sample: pa.Array | None) -> bool:
    """Whether a code column holds numbers, so that leading zeros are lost: by its type, or as CSV's texts show."""
    kind = _value_type(claims.schema.field(column).type)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return True
    if not is_text(kind) and not pa.types.is_null(kind):
        raise UnusableColumn(f"column {column!r} is {kind}: neither text nor a number, so it has no codes")
    if not claims.is_csv or sample is None or not len(sample):
        return False
    texts = pc.replace_substring_regex(pc.utf8_trim_whitespace(sample), r"[.]0+$", "")
    texts = texts.filter(pa.array(~is_nothing(texts)))
    # One that is too short and begins with 0 has its zeros: revenue codes such as 0636.
    digits = pc.match_substring_regex(texts, rf"^(0|[1-9][0-9]{{0,4}}|[0-9]{{{width}}})$")
    short = pc.less(pc.binary_length(texts), width)
    return len(texts) > 0 and bool(pc.all(digits).as_py()) and bool(pc.any(short).as_py())


def _by_value(column: pa.ChunkedArray) -> list[pa.DictionaryArray]:
    """A column's chunks as dictionaries; one where it is none yet, so that no value is read once for each chunk."""
    if pa.types.is_dictionary(column.type):
        chunks: list[pa.DictionaryArray] = column.chunks
        return chunks
    return [column.dictionary_encode().combine_chunks()] if len(column) else []


def _places(index: pa.Array, null: int) -> np.ndarray:
    """A dictionary's indices, with ``null`` where there is none."""
    if not index.null_count:
        places: np.ndarray = index.to_numpy()
        return places
    if not pa.types.is_int32(index.type):
        index = index.cast(pa.int32())
    there = np.unpackbits(np.frombuffer(index.buffers()[0], np.uint8), bitorder="little")
    places = np.frombuffer(index.buffers()[1], np.int32)[index.offset : index.offset + len(index)].copy()
    places[np.flatnonzero(there[index.offset : index.offset + len(index)] == 0)] = null
    return places


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _texts(values: pa.Array) -> pa.Array:
    """Values of a code column as texts; numbers without a fraction as their digits."""
    if pa.types.is_string(values.type):
        return values
    if pa.types.is_decimal(values.type):
        values = values.cast(pa.float64())
    if pa.types.is_floating(values.type):
        whole = pc.if_else(pc.equal(pc.floor(values), values), values, pa.scalar(None, values.type))
        return pc.coalesce(whole.cast(pa.int64(), safe=False).cast(pa.string()), values.cast(pa.string()))
    return values.cast(pa.string())


def _compact(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """A dictionary column whose dictionary is small beside its lines, so that no part carries what it does not use."""
    if isinstance(column, pa.ChunkedArray) or not pa.types.is_dictionary(column.type):
        return column
    if len(column.dictionary) * _LINES_PER_ENTRY < len(column):
        return column
    used = pc.unique(column.indices).drop_null().sort()
    place = np.zeros(len(column.dictionary), np.int32)
    place[used.to_numpy()] = np.arange(len(used), dtype=np.int32)
    return pa.DictionaryArray.from_arrays(pc.take(pa.array(place), column.indices), column.dictionary.take(used))


def _one_dictionary_each(table: pa.Table) -> pa.Table:
    """A table whose dictionary columns have one dictionary each, which Parquet then takes as it is."""
    if all(c.num_chunks <= 1 for c in table.columns if pa.types.is_dictionary(c.type)):
        return table
    return table.unify_dictionaries()


def _end_of_quarter(tables: VersionTables) -> int:
    """The day from which a later release would speak: the first of the quarter after the newest release's."""
    newest = pc.max(tables.history["last_release"]).as_py()
    if newest is None:
        return int(np.iinfo(np.int32).max)
    year, month = (int(p) for p in newest.split("-"))
    quarters = year * 4 + (month - 1) // 3 + 1
    return (dt.date(quarters // 4, quarters % 4 * 3 + 1, 1) - dt.date(1970, 1, 1)).days
