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
from hcpcs.errors import HcpcsError

#: Dialects that are offered, with what sqlglot calls them.
DIALECTS = ("duckdb", "spark", "trino", "postgres")
_TABLES = ("hcpcs_history", "hcpcs_codes", "code_systems", "code_sections")
#: Stands in the statement for the claims, wherever they are.
_CLAIMS = "hcpcs_claims"
_NAME = re.compile(r'"(?:[^"]|"")+"|`[^`"]+`|[^"`.\'();]+')
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


def annotate_sql(dialect: str, names: SqlNames | None = None) -> str:
    """One SELECT: the claims' columns and those of ``hcpcs.annotate``, a line each; dates must be DATE or TIMESTAMP.

    The version's tables are looked for by name, in ``schema`` if one is given; for DuckDB and Spark ``folder`` reads
    its Parquet files where they lie. The claims are a table, with its schema or without, or there a Parquet file.
    Raises ``HcpcsError`` for another dialect, for what a dialect cannot do, and for names that would be doubled.
    """
    if dialect not in DIALECTS:
        raise HcpcsError(f"no dialect {dialect!r}; there are: {', '.join(DIALECTS)}")
    import sqlglot  # takes a while to load, and only this function needs it

    names = names or SqlNames()
    if dialect not in ("duckdb", "spark") and names.folder is not None:
        raise HcpcsError(f"{dialect} reads tables, not folders: load the version's tables, and name their --schema")
    _check_names(names)
    statement = sqlglot.parse_one(_statement(names), read="duckdb")
    places = {t: _place_of_table(dialect, names, t) for t in _TABLES} | {_CLAIMS: _claims(dialect, names.claims)}
    for table in list(statement.find_all(sqlglot.exp.Table)):
        if table.name in places:
            named = sqlglot.parse_one(f"select * from {places[table.name]}", read=dialect).find(sqlglot.exp.Table)
            assert named is not None
            # Spark gives a path no name of its own.
            alias = table.args.get("alias") or sqlglot.exp.TableAlias(this=sqlglot.exp.to_identifier(table.name))
            named.set("alias", alias)
            table.replace(named)
    return _written(statement, dialect, pretty=True)


def code_stages(column: str, dialect: str, width: int = 5, known: Iterable[str] | None = None) -> list[tuple[str, str]]:
    """Names and expressions, each over those before, of which the last, ``hcpcs_key``, is what ``read_codes`` reads.

    For a text column ``column`` of codes (width 5) or modifiers (width 2); ``known``: CMS's modifiers.
    """
    import sqlglot

    pattern = modifier_pattern(known)
    key = _code_key(_matches("hcpcs_tail", pattern)) if width == 5 else _modifier_key(_matches("hcpcs_text", pattern))
    stages = [*_stages(_quoted(column), width), ("hcpcs_key", key)]
    return [(name, _written(sqlglot.parse_one(text, read="duckdb"), dialect)) for name, text in stages]


def _written(expression: Any, dialect: str, *, pretty: bool = False) -> str:
    """An expression of DuckDB's dialect in another one."""
    from sqlglot import exp

    for replacement in expression.find_all(exp.RegexpReplace):
        if dialect == "trino":
            replacement.set("modifiers", None)  # Trino replaces every match, and knows no flag that says so
    if dialect == "postgres":
        for literal in expression.find_all(exp.Literal):
            literal.set("this", re.sub(r"\\x\{([0-9A-F]{4})\}", r"\\u\1", literal.this))
    text: str = expression.sql(dialect=dialect, pretty=pretty)
    return text


def _check_names(names: SqlNames) -> None:
    """Raises ``HcpcsError`` for columns of the result that would have one name, upper and lower case alike."""
    seen = {name.lower() for name in names.keep}
    for name in (*DEFAULT_COLUMNS, *(f"{m}_status" for m in names.modifiers)):
        if name.lower() in seen:
            raise HcpcsError(f"the statement would have two columns named {name!r}; leave it out of --keep")
        seen.add(name.lower())


def _identifier(dialect: str, name: str) -> str:
    """A table's name, with its schema or without, as the dialect quotes it."""
    parts = _NAME.findall(name)
    if ".".join(parts) != name or not name.strip():
        raise HcpcsError(f'{name!r} is neither a table\'s name nor the path of a file; quote a part of it with "…"')
    plain = [p[1:-1].replace('""', '"') if p[0] in '"`' else p for p in parts]
    mark = "`" if dialect == "spark" else '"'
    # A name with capitals stays as it is: some engines fold it to lower case.
    return ".".join(
        p if p == given and re.fullmatch(r"\w*[A-Z]\w*", p) else mark + p.replace(mark, mark * 2) + mark
        for p, given in zip(plain, parts, strict=True)
    )


def _claims(dialect: str, claims: str) -> str:
    """The claims as the dialect names them: a table, or a Parquet file's path, quoted or with a slash or its ending."""
    quoted = len(claims) > 2 and claims[0] == claims[-1] == "'"
    path = claims[1:-1].replace("''", "'") if quoted else claims
    if not quoted and "/" not in path and not path.lower().endswith(_FILE_ENDINGS):
        return _identifier(dialect, claims)
    return _file(dialect, path)


def _file(dialect: str, path: str) -> str:
    if dialect == "duckdb":
        return "'" + path.replace("'", "''") + "'"
    if dialect == "spark" and "`" not in path:
        return f"parquet.`{path}`"
    raise HcpcsError(f"{dialect} reads no file {path!r} by its path; load it, and name the table")


def _place_of_table(dialect: str, names: SqlNames, table: str) -> str:
    if names.folder is None:
        return f"{_identifier(dialect, names.schema)}.{table}" if names.schema else table
    return _file(dialect, f"{names.folder}/open/{table}.parquet")


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


def _status(day: str, system: str, spans: str, first: str) -> str:
    """Statuses in their order, the first that holds."""
    return f"""case
        when {day} is null then 'no_date'
        when {system}.code_system_id is null then 'unknown_shape'
        when {first}.code is null and not ({system}.system = 'HCPCS' and {system}.level = 'II') then 'not_held'
        when {first}.code is null then 'unknown_code'
        when {day} < {first}.first_day then 'not_yet_valid'
        when {spans}.valid_to is null or {day} <= {spans}.valid_to then 'valid'
        when {spans}.valid_to_basis = 'absence' then 'purged_unknown'
        else 'expired' end"""


def _statement(names: SqlNames) -> str:
    days = [f"cast(line.{_quoted(d)} as date)" for d in (names.date, names.date_else) if d]
    day = days[0] if len(days) == 1 else f"coalesce({', '.join(days)})"
    modifiers = list(enumerate(names.modifiers))
    distinct = " union ".join(
        f"select distinct cast({_quoted(m)} as varchar) as given from {_CLAIMS}" for _, m in modifiers
    )
    read_modifiers = _staged(f"({distinct})", _stages("given", 2))
    modifier_parts = (
        f""",
    hcpcs_modifiers_read as (
        select staged.given, {_modifier_key("(known.code is not null)")} as code
        from {read_modifiers} as staged left join hcpcs_known as known on known.code = staged.hcpcs_text
    ),
    modifier_systems as (
        select asked.code, code_systems.code_system_id, code_systems.system, code_systems.level
        from (select distinct code from hcpcs_modifiers_read) as asked
        join code_systems on regexp_matches(asked.code, code_systems.code_pattern) and code_systems.kind = 'modifier'
    ),
    modifier_spans as (
        select code, valid_from, valid_to, valid_to_basis,
            lead(valid_from) over (partition by code order by valid_from) as next_from
        from hcpcs_history where kind = 'modifier'
    ),
    modifier_first as (select code, min(valid_from) as first_day from modifier_spans group by code)"""
        if modifiers
        else ""
    )
    modifier_columns = "".join(
        f""",
        case when mr{i}.code is null then null else
        {_status(day, f"ms{i}", f"mp{i}", f"mf{i}")} end as {_quoted(m + "_status")}"""
        for i, m in modifiers
    )
    modifier_joins = "".join(
        f"""
    left join hcpcs_modifiers_read as mr{i} on mr{i}.given = cast(line.{_quoted(m)} as varchar)
    left join modifier_systems as ms{i} on ms{i}.code = mr{i}.code
    left join modifier_first as mf{i} on mf{i}.code = mr{i}.code
    left join modifier_spans as mp{i} on mp{i}.code = mr{i}.code
        and mp{i}.valid_from <= {day}
        and (mp{i}.next_from is null or {day} < mp{i}.next_from)"""
        for i, m in modifiers
    )
    added = {
        "code_system": "coalesce(s.code_system_id, 'unknown_shape')",
        "code_category": "s.category",
        "section_id": "sec.section_id",
        "code_status_on_date": _status(day, "s", "sp", "f"),
        "is_unlisted": "sp.is_unlisted",
        "episode": "sp.episode",
        "short_description": "sp.short_description",
        "replaced_by": "sp.replaced_by",
        "license_id": "s.license_id",
        "redistribution": "case when s.steward = 'CMS' then 'open' else 'withheld' end",
    }
    columns = ",\n        ".join(f"{added[c]} as {c}" for c in DEFAULT_COLUMNS)
    return f"""
    with {_codes_read(names)},
    systems as (
        select asked.code, code_systems.code_system_id, code_systems.category, code_systems.license_id,
            code_systems.steward, code_systems.system, code_systems.level
        from (select distinct code from hcpcs_codes_read) as asked
        join code_systems on regexp_matches(asked.code, code_systems.code_pattern)
            and coalesce(code_systems.kind, 'procedure') = 'procedure'
    ),
    days as (
        select cast(null as date) as from_day, true as is_undated
        union all select date '0001-01-01', false
        union all select valid_from, false from code_sections where valid_from is not null
        union all select cast(valid_to + interval 1 day as date), false from code_sections where valid_to is not null
    ),
    section_days as (
        select from_day, is_undated, lead(from_day) over (partition by is_undated order by from_day) as next_day
        from (select distinct from_day, is_undated from days) as distinct_days
    ),
    ranked_sections as (
        select s.code, d.from_day, d.next_day, d.is_undated, c.section_id,
            row_number() over (
                partition by s.code, d.from_day, d.is_undated
                order by c.depth desc, coalesce(c.valid_from, date '0001-01-01') desc
            ) as place
        from systems as s
        join code_sections as c on c.code_system_id = s.code_system_id and s.code >= c.first_code
            and (c.last_code is null or s.code <= c.last_code)
        join section_days as d on d.is_undated or (
            (c.valid_from is null or c.valid_from <= d.from_day) and (c.valid_to is null or d.from_day <= c.valid_to))
    ),
    sections as (
        select code, from_day, next_day, is_undated, section_id from ranked_sections where place = 1
    ),
    spans as (
        select h.code, h.episode, h.valid_from, h.valid_to, h.valid_to_basis, h.short_description, k.is_unlisted,
            nullif(array_to_string(k.replaced_by, '|'), '') as replaced_by,
            lead(h.valid_from) over (partition by h.code order by h.valid_from) as next_from
        from hcpcs_history as h
        left join hcpcs_codes as k on k.code = h.code and k.episode = h.episode
        where h.kind = 'procedure'
    ),
    first_days as (select code, min(valid_from) as first_day from spans group by code){modifier_parts}
    select {_claims_columns(names)},
        {columns}{modifier_columns}
    from {_claims_once(names)} as line
    left join hcpcs_codes_read as code_read on code_read.given = cast(line.{_quoted(names.code)} as varchar)
    left join systems as s on s.code = code_read.code
    left join first_days as f on f.code = code_read.code
    left join spans as sp on sp.code = code_read.code and sp.valid_from <= {day}
        and (sp.next_from is null or {day} < sp.next_from)
    left join sections as sec on sec.code = code_read.code and (
        (sec.is_undated and {day} is null)
        or (sec.from_day <= {day} and (sec.next_day is null or {day} < sec.next_day))){modifier_joins}
    """


def _codes_read(names: SqlNames) -> str:
    """Parts of a WITH: ``hcpcs_known`` modifiers of CMS, and ``hcpcs_codes_read`` (``given``, ``code``) of the claims.

    The claims' distinct texts are read, not their lines.
    """
    parts = [(f"known_{i}", f"substr(staged.hcpcs_tail, {2 * i + 1}, 2)") for i in range(4)]
    joins = "".join(f"\n        left join hcpcs_known as {name} on {name}.code = {part}" for name, part in parts)
    cpt = f"^({CPT_MODIFIER})?$"
    known = " and ".join(f"({name}.code is not null or {_matches(part, cpt)})" for name, part in parts)
    given = f"(select distinct cast({_quoted(names.code)} as varchar) as given from {_CLAIMS})"
    return f"""hcpcs_known as (select distinct code from hcpcs_history where kind = 'modifier'),
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
