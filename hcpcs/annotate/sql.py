"""The annotation as SQL over a version's tables, for engines that need no code of ours. Nothing here runs it.

It is written once, in DuckDB's dialect, and translated by sqlglot. The rules for codes are those of
``hcpcs.annotate.parsing`` but for one: a column of numbers must be cast and padded before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hcpcs.annotate.lookup import DEFAULT_COLUMNS
from hcpcs.errors import HcpcsError

#: Dialects that are offered, with what sqlglot calls them.
DIALECTS = ("duckdb", "spark", "trino")
_BLANK_OR_POINT = r"[ \t\r\n\x{00A0}.]"
_BETWEEN = r"[ \t\r\n\x{00A0}.:/,_-]"
_SHAPE = "[A-Z0-9][0-9]{3}[A-Z0-9]"
_TABLES = ("hcpcs_history", "hcpcs_codes", "code_systems", "code_sections")


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
    """One SELECT: the claims' columns and those of ``hcpcs.annotate.engine``, a line each; dates must be DATE columns.

    The version's tables are looked for by name, in ``schema`` if one is given; for DuckDB and Spark ``folder`` reads
    its Parquet files where they lie. Raises ``HcpcsError`` for another dialect, and for what Trino
    cannot do.
    """
    if dialect not in DIALECTS:
        raise HcpcsError(f"no dialect {dialect!r}; there are: {', '.join(DIALECTS)}")
    import sqlglot  # takes a while to load, and only this function needs it

    names = names or SqlNames()
    statement = sqlglot.parse_one(_statement(names), read="duckdb")
    if dialect == "trino" and not names.keep:
        raise HcpcsError("Trino cannot leave columns out by name: say which of the claims' columns to keep")
    if dialect == "trino":
        for replacement in statement.find_all(sqlglot.exp.RegexpReplace):
            replacement.set("modifiers", None)  # Trino replaces every match, and knows no flag that says so
    if dialect == "trino" and names.folder is not None:
        raise HcpcsError("Trino reads tables and no folders: register the version's tables, and name their schema")
    tables = {t: _table(dialect, names, t) for t in _TABLES}
    for table in list(statement.find_all(sqlglot.exp.Table)):
        if table.name in tables:
            named = sqlglot.parse_one(f"select * from {tables[table.name]}", read=dialect).find(sqlglot.exp.Table)
            assert named is not None
            named.set("alias", table.args.get("alias"))
            table.replace(named)
    return statement.sql(dialect=dialect, pretty=True)


def normalized_code(column: str, dialect: str, width: int = 5) -> str:
    """An expression for a text column's codes, or modifiers (width 2), as ``read_codes`` has them."""
    import sqlglot

    text = _normalized(_quoted(column)) if width == 5 else _without_blanks(f"upper({_quoted(column)})")
    return sqlglot.transpile(text, read="duckdb", write=dialect)[0]


def _table(dialect: str, names: SqlNames, table: str) -> str:
    if names.folder is None:
        return f"{names.schema}.{table}" if names.schema else table
    path = f"{names.folder}/open/{table}.parquet"
    return f"parquet.`{path}`" if dialect == "spark" else f"'{path}'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _normalized(code: str) -> str:
    """A code as ``read_codes`` has it; null for what has no code's shape."""
    upper = f"upper({code})"
    compact = _without_blanks(upper)
    head = f"regexp_extract(regexp_replace({upper}, '^{_BLANK_OR_POINT}+', ''), '^({_SHAPE})', 1)"
    return (
        f"case when regexp_matches({compact}, '^{_SHAPE}$') then {compact} "
        f"when regexp_matches({compact}, '^{_SHAPE}[A-Z0-9]{{2}}$') then substr({compact}, 1, 5) "
        f"when regexp_matches({upper}, "
        f"'^{_BLANK_OR_POINT}*{_SHAPE}({_BETWEEN}+[A-Z0-9]{{2}}){{1,4}}{_BLANK_OR_POINT}*$') then {head} end"
    )


def _without_blanks(text: str) -> str:
    return f"regexp_replace({text}, '{_BLANK_OR_POINT}+', '', 'g')"


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
    day = (
        _quoted(names.date)
        if names.date_else is None
        else f"coalesce({_quoted(names.date)}, {_quoted(names.date_else)})"
    )
    modifiers = list(enumerate(names.modifiers))
    asked = "".join(
        f",\n        {_without_blanks(f'upper({_quoted(m)})')} as hcpcs_modifier_key_{i}" for i, m in modifiers
    )
    distinct = "".join(f"\n        union select hcpcs_modifier_key_{i} from claim_lines" for i, _ in modifiers)
    modifier_parts = (
        f""",
    modifier_systems as (
        select asked.code, code_systems.code_system_id, code_systems.system, code_systems.level
        from (select cast(null as varchar) as code{distinct}) as asked
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
        case when coalesce(hcpcs_modifier_key_{i}, '') = '' then null else
        {_status("line.hcpcs_day", f"ms{i}", f"mp{i}", f"mf{i}")} end as {_quoted(m + "_status")}"""
        for i, m in modifiers
    )
    modifier_joins = "".join(
        f"""
    left join modifier_systems as ms{i} on ms{i}.code = line.hcpcs_modifier_key_{i}
    left join modifier_first as mf{i} on mf{i}.code = line.hcpcs_modifier_key_{i}
    left join modifier_spans as mp{i} on mp{i}.code = line.hcpcs_modifier_key_{i}
        and mp{i}.valid_from <= line.hcpcs_day
        and (mp{i}.next_from is null or line.hcpcs_day < mp{i}.next_from)"""
        for i, _ in modifiers
    )
    added = {
        "code_system": "coalesce(s.code_system_id, 'unknown_shape')",
        "code_category": "s.category",
        "section_id": "sec.section_id",
        "code_status_on_date": _status("line.hcpcs_day", "s", "sp", "f"),
        "is_unlisted": "sp.is_unlisted",
        "episode": "sp.episode",
        "short_description": "sp.short_description",
        "replaced_by": "sp.replaced_by",
        "license_id": "s.license_id",
        "redistribution": "case when s.steward = 'CMS' then 'open' else 'withheld' end",
    }
    columns = ",\n        ".join(f"{added[c]} as {c}" for c in DEFAULT_COLUMNS)
    return f"""
    with claim_lines as (
        select {names.claims}.*, {_normalized(_quoted(names.code))} as hcpcs_code_key,
        {day} as hcpcs_day{asked}
        from {names.claims}
    ),
    systems as (
        select asked.code, code_systems.code_system_id, code_systems.category, code_systems.license_id,
            code_systems.steward, code_systems.system, code_systems.level
        from (select distinct hcpcs_code_key as code from claim_lines) as asked
        join code_systems on regexp_matches(asked.code, code_systems.code_pattern)
            and coalesce(code_systems.kind, 'procedure') = 'procedure'
    ),
    days as (
        select cast(null as date) as from_day, true as is_undated
        union all select date '0001-01-01', false
        union all select valid_from, false from code_sections where valid_from is not null
        union all select valid_to + interval 1 day, false from code_sections where valid_to is not null
    ),
    section_days as (
        select from_day, is_undated, lead(from_day) over (partition by is_undated order by from_day) as next_day
        from (select distinct cast(from_day as date) as from_day, is_undated from days) as distinct_days
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
    from claim_lines as line
    left join systems as s on s.code = line.hcpcs_code_key
    left join first_days as f on f.code = line.hcpcs_code_key
    left join spans as sp on sp.code = line.hcpcs_code_key and sp.valid_from <= line.hcpcs_day
        and (sp.next_from is null or line.hcpcs_day < sp.next_from)
    left join sections as sec on sec.code = line.hcpcs_code_key and (
        (sec.is_undated and line.hcpcs_day is null)
        or (sec.from_day <= line.hcpcs_day and (sec.next_day is null or line.hcpcs_day < sec.next_day))){modifier_joins}
    """


def _claims_columns(names: SqlNames) -> str:
    if names.keep:
        return ", ".join(f"line.{_quoted(c)}" for c in names.keep)
    helpers = ["hcpcs_code_key", "hcpcs_day", *(f"hcpcs_modifier_key_{i}" for i, _ in enumerate(names.modifiers))]
    return f"line.* exclude ({', '.join(helpers)})"
