"""The annotation as SQL over a version's tables, for engines that need no code of ours. Nothing here runs it.

It is written once, in DuckDB's dialect, and translated by sqlglot. The rules for codes are those of
``hcpcs.annotate.parsing`` but for one: a column of numbers must be cast and padded before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hcpcs.annotate.lookup import DEFAULT_COLUMNS
from hcpcs.annotate.parsing import (
    BLANK,
    CLEANING,
    CODE,
    CPT_MODIFIER,
    DECIMAL,
    DECIMAL_END,
    DIGITS,
    JOINED,
    MODIFIER,
    PCS,
    SEPARATED,
    modifier_pattern,
)
from hcpcs.annotate.values import NULL_WORDS
from hcpcs.errors import HcpcsError, present
from hcpcs.sql.dialects import file, identifier, published_table, require_dialect

#: Dialects that are offered, with what sqlglot calls them.
DIALECTS = ("duckdb", "spark", "trino", "postgres", "snowflake", "bigquery")
#: Those whose regexp_replace replaces every match, and takes no flag that asks for it.
_REPLACE_ALL = ("trino", "snowflake", "bigquery")
_TABLES = ("hcpcs_validity",)
#: Stands in the statement for the claims, wherever they are.
_CLAIMS = "hcpcs_claims"
_FILE_ENDINGS = (".parquet", ".pq", ".csv", ".tsv", ".json", ".gz", ".zst")
_LOWER, _UPPER = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class SqlNames:
    """Names in the statement: the claims, their columns, and where the version's tables are.

    ``keep``: the claims' columns in the result, by default all.
    """

    claims: str = "claims"
    code: str = "hcpcs_code"
    date: str = "service_date"
    date_else: str | None = None
    modifiers: Sequence[str] = ()
    keep: Sequence[str] = ()
    schema: str | None = None
    folder: str | None = None


def _sqlglot() -> Any:
    """The SQL translator: an extra, which takes a while to load."""
    try:
        import sqlglot
    except ImportError:
        raise HcpcsError("sqlglot is not installed; `pip install 'hcpcs[sql]'` installs it") from None
    return sqlglot


def annotate_sql(dialect: str, names: SqlNames | None = None) -> str:
    """One SELECT: the claims' columns and those of ``hcpcs.annotate``, a line each; dates must be DATE or TIMESTAMP.

    The version's tables are looked for by name, in ``schema`` if one is given; for DuckDB and Spark ``folder`` reads
    its Parquet files where they lie. The claims are a table, with its schema or without, or there a Parquet file.
    Raises ``HcpcsError`` for another dialect, for what a dialect cannot do, and for names that would be doubled.
    """
    require_dialect(dialect, DIALECTS)
    sqlglot = _sqlglot()
    names = names or SqlNames()
    _check_names(names)
    statement = sqlglot.parse_one(_statement(names), read="duckdb")
    places = {t: published_table(dialect, t, names.schema, names.folder) for t in _TABLES}
    places[_CLAIMS] = _claims(dialect, names.claims)
    for table in list(statement.find_all(sqlglot.exp.Table)):
        if table.name in places:
            source = sqlglot.parse_one(f"select * from {places[table.name]}", read=dialect)
            named = present(source.find(sqlglot.exp.Table))
            # Spark gives a path no name of its own.
            alias = table.args.get("alias") or sqlglot.exp.TableAlias(this=sqlglot.exp.to_identifier(table.name))
            named.set("alias", alias)
            table.replace(named)
    return _written(statement, dialect, pretty=True)


def code_stages(column: str, dialect: str, width: int = 5, known: Iterable[str] | None = None) -> list[tuple[str, str]]:
    """Names and expressions, each over those before, of which the last, ``hcpcs_key``, is what ``read_codes`` reads.

    For a text column ``column`` of codes (width 5) or modifiers (width 2); ``known``: CMS's modifiers.
    """
    sqlglot = _sqlglot()
    pattern = modifier_pattern(known)
    if width == 5:
        key = _code_key(_matches("hcpcs_tail", pattern))
    else:  # one modifier: several, one behind another, may spell a word for nothing
        key = _modifier_key(f"(length(hcpcs_text) = {width} and {_matches('hcpcs_text', pattern)})")
    stages = [*_stages(_quoted(column), width), ("hcpcs_key", key)]
    return [(name, _written(sqlglot.parse_one(text, read="duckdb"), dialect)) for name, text in stages]


def _written(expression: Any, dialect: str, *, pretty: bool = False) -> str:
    """An expression of DuckDB's dialect in another one."""
    from sqlglot import exp

    for replacement in expression.find_all(exp.RegexpReplace):
        if dialect in _REPLACE_ALL:
            replacement.set("modifiers", None)
    if dialect == "postgres":
        for literal in expression.find_all(exp.Literal):
            literal.set("this", re.sub(r"\\x\{([0-9A-F]{4})\}", r"\\u\1", literal.this))
    if dialect == "snowflake":
        for name in expression.find_all(exp.Identifier):
            # What is created without quotes there is in upper case, and found by any case without them.
            name.set("quoted", name.args.get("quoted") and not _is_plain(name.this, dialect))
    text: str = expression.sql(dialect=dialect, pretty=pretty)
    if dialect == "snowflake":
        # Its texts have escapes of their own, its patterns none for characters.
        text = re.sub(r"\\\\x\{([0-9A-F]{4})\}", r"\\u\1", text).replace(r"\\t-\\r", r"\t-\r")
    return text


def _is_plain(name: str, dialect: str) -> bool:
    """Whether a name needs no quotes."""
    from sqlglot import errors, exp, parse_one

    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        return False
    try:
        return isinstance(parse_one(f"t.{name}", read=dialect), exp.Column)
    except errors.ParseError:
        return False


def _check_names(names: SqlNames) -> None:
    """Raises ``HcpcsError`` for columns of the result that would have one name, upper and lower case alike."""
    seen = {name.lower() for name in names.keep}
    for name in (*DEFAULT_COLUMNS, *(f"{m}_status" for m in names.modifiers)):
        if name.lower() in seen:
            raise HcpcsError(f"the statement would have two columns named {name!r}; leave it out of --keep")
        seen.add(name.lower())


def _claims(dialect: str, claims: str) -> str:
    """The claims as the dialect names them: a table, or a Parquet file's path, quoted or with a slash or its ending."""
    quoted = len(claims) > 2 and claims[0] == claims[-1] == "'"
    path = claims[1:-1].replace("''", "'") if quoted else claims
    if not quoted and "/" not in path and not path.lower().endswith(_FILE_ENDINGS):
        return identifier(dialect, claims)
    return file(dialect, path)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _matches(text: str, pattern: str) -> str:
    return f"regexp_matches({text}, {_literal(pattern)})"


def _stages(text: str, width: int) -> list[tuple[str, str]]:
    """The columns that lead from a text to its code, each over those before."""
    upper = f"translate({text}, '{_LOWER}', '{_UPPER}')"
    before, qualifier, behind = (pattern for pattern, _ in CLEANING)
    for pattern in (before, *([qualifier] if width == 5 else []), behind):
        upper = f"regexp_replace({upper}, {_literal(pattern)}, '')"
    joined = f"{_matches('hcpcs_text', JOINED)} and not {_matches('hcpcs_text', PCS)}"
    shaped = f"{_matches('hcpcs_text', SEPARATED)} or ({joined})"
    behind_code = "regexp_replace(substr(hcpcs_text, 6), '[^A-Z0-9]+', '', 'g')"
    stages = [
        ("hcpcs_upper", upper),
        (
            "hcpcs_text",
            f"case when {_matches('hcpcs_upper', DECIMAL)} "
            f"then regexp_replace(hcpcs_upper, {_literal(DECIMAL_END)}, '') else hcpcs_upper end",
        ),
        ("hcpcs_compact", f"regexp_replace(hcpcs_text, {_literal(BLANK + '+')}, '', 'g')"),
    ]
    return [*stages, ("hcpcs_tail", f"case when {shaped} then {behind_code} end")] if width == 5 else stages


def _undotted(shape: str) -> str:
    """Without dots, where letters say that the dot is no decimal's."""
    undotted = "replace(hcpcs_compact, '.', '')"
    return (
        f"when {_matches('hcpcs_compact', shape)} then hcpcs_compact "
        f"when {_matches(undotted, shape)} and not {_matches(undotted, DIGITS)} then {undotted}"
    )


def _code_key(is_known: str) -> str:
    """The code after ``_stages``; ``is_known`` says whether all of ``hcpcs_tail`` are modifiers."""
    return f"case {_undotted(CODE)} when {is_known} then substr(hcpcs_text, 1, 5) end"


def _modifier_key(is_known: str) -> str:
    """The modifier after ``_stages``; null for a word for nothing, else the text where it is none."""
    words = ", ".join(_literal(word) for word in NULL_WORDS)
    return f"case when hcpcs_text in ({words}) and not {is_known} then null {_undotted(MODIFIER)} else hcpcs_text end"


def _staged(source: str, stages: Sequence[tuple[str, str]]) -> str:
    """A query over ``source`` that adds the stages' columns, each over those before."""
    for name, expression in stages:
        source = f"(select *, {expression} as {name} from {source} as staged)"
    return source


def _statement(names: SqlNames) -> str:
    days = [f"cast(line.{_quoted(d)} as date)" for d in (names.date, names.date_else) if d]
    day = days[0] if len(days) == 1 else f"coalesce({', '.join(days)})"
    modifiers = list(enumerate(names.modifiers))
    distinct = " union ".join(
        f"select distinct cast({_quoted(m)} as varchar) as given from {_CLAIMS}" for _, m in modifiers
    )
    modifier_parts = (
        f""",
    hcpcs_modifiers_read as (
        select staged.given, {_modifier_key("(known.code is not null)")} as code
        from {_staged(f"({distinct})", _stages("given", 2))} as staged
        left join hcpcs_known as known on known.code = staged.hcpcs_text
    ),
    {_placed("hcpcs_modifiers", "('modifier', 'ambulance_modifier')")}"""
        if modifiers
        else ""
    )
    modifier_columns = "".join(
        f""",
        case when mr{i}.code is null then null else {_status(day, f"m{i}")} end as {_quoted(m + "_status")}"""
        for i, m in modifiers
    )
    modifier_joins = "".join(
        f"""
    left join hcpcs_modifiers_placed as mr{i} on mr{i}.given = cast(line.{_quoted(m)} as varchar)
        and mr{i}.kind = coalesce(v.modifier_kind, 'modifier')
    {_answer(f"m{i}", f"mr{i}", day)}"""
        for i, m in modifiers
    )
    added = {
        "code_system": "coalesce(v.code_system, 'unknown_shape')",
        "code_category": "v.code_category",
        "section_id": f"case when {day} is null then v.undated_section_id else v.section_id end",
        "code_status_on_date": _status(day, "v"),
        "is_unlisted": f"case when {day} is not null then v.is_unlisted end",
        "episode": f"case when {day} is not null then v.episode end",
        "short_description": f"case when {day} is not null then v.short_description end",
        "replaced_by": f"case when {day} is not null then nullif(array_to_string(v.replaced_by, '|'), '') end",
        "license_id": "coalesce(v.license_id, 'LicenseRef-Unknown')",
        "redistribution": "coalesce(v.redistribution, 'withheld')",
    }
    columns = ",\n        ".join(f"{added[c]} as {c}" for c in DEFAULT_COLUMNS)
    return f"""
    with {_codes_read(names)},
    hcpcs_own as (select distinct kind, first_code from hcpcs_validity where not is_interval),
    hcpcs_intervals as (
        select distinct kind, code_shape, first_code, last_code from hcpcs_validity where is_interval
    ),
    {_placed("hcpcs_codes", "('procedure')")}{modifier_parts}
    select {_claims_columns(names)},
        {columns}{modifier_columns}
    from {_claims_once(names)} as line
    left join hcpcs_codes_placed as code_read on code_read.given = cast(line.{_quoted(names.code)} as varchar)
    {_answer("v", "code_read", day)}{modifier_joins}
    """


def _placed(codes: str, kinds: str) -> str:
    """Part of a WITH: for the distinct codes of ``<codes>_read`` where ``hcpcs_validity`` answers, by kind.

    A code that has rows of its own is answered by these, any other by the interval of its shape that contains it.
    """
    values = ", ".join(f"({kind})" for kind in kinds.strip("()").split(", "))
    shape = "regexp_replace(regexp_replace(wanted.code, '[0-9]', '#', 'g'), '^[A-Z]', 'A')"
    return f"""{codes}_placed as (
        select wanted.given, wanted.code, kinds.kind, own.first_code is null as is_interval,
            coalesce(own.first_code, within.first_code) as first_code
        from {codes}_read as wanted
        cross join (values {values}) as kinds(kind)
        left join hcpcs_own as own on own.kind = kinds.kind and own.first_code = wanted.code
        left join hcpcs_intervals as within on within.kind = kinds.kind and within.code_shape = {shape}
            and own.first_code is null and wanted.code between within.first_code and within.last_code
    )"""


def _answer(alias: str, placed: str, day: str) -> str:
    """The join of a line to the row of ``hcpcs_validity`` that answers; without a day, to the last."""
    return f"""left join hcpcs_validity as {alias} on {alias}.kind = {placed}.kind
        and {alias}.first_code = {placed}.first_code and {alias}.is_interval = {placed}.is_interval
        and coalesce({day}, date '9999-12-31') between {alias}.from_day and {alias}.to_day"""


def _status(day: str, alias: str) -> str:
    return f"case when {day} is null then 'no_date' else coalesce({alias}.status, 'unknown_shape') end"


def _codes_read(names: SqlNames) -> str:
    """Parts of a WITH: ``hcpcs_known`` modifiers of CMS, and ``hcpcs_codes_read`` (``given``, ``code``) of the claims.

    The claims' distinct texts are read, not their lines.
    """
    parts = [(f"known_{i}", f"substr(staged.hcpcs_tail, {2 * i + 1}, 2)") for i in range(4)]
    joins = "".join(f"\n        left join hcpcs_known as {name} on {name}.code = {part}" for name, part in parts)
    cpt = f"^({CPT_MODIFIER})?$"
    known = " and ".join(f"({name}.code is not null or {_matches(part, cpt)})" for name, part in parts)
    given = f"(select distinct cast({_quoted(names.code)} as varchar) as given from {_CLAIMS})"
    return f"""hcpcs_known as (
        select distinct first_code as code from hcpcs_validity where kind <> 'procedure' and not is_interval
    ),
    hcpcs_codes_read as (
        select staged.given, {_code_key(f"({known})")} as code
        from {_staged(given, _stages("given", 5))} as staged{joins}
    )"""


def _claims_once(names: SqlNames) -> str:
    """The claims; where they have a column of a name that is added, the engine calls that name ambiguous."""
    if names.keep:
        return _CLAIMS
    added = [*DEFAULT_COLUMNS, *(_quoted(f"{m}_status") for m in names.modifiers)]
    nulls = ", ".join(f"cast(null as varchar) as {name}" for name in added)
    return (
        f"(select claim_line.* from {_CLAIMS} as claim_line cross join (select {nulls}) as columns_to_add "
        f"where coalesce({', '.join(added)}) is null)"
    )


def _claims_columns(names: SqlNames) -> str:
    return ", ".join(f"line.{_quoted(c)}" for c in names.keep) if names.keep else "line.*"
