"""``hcpcs sql views``: functions and a view over ``hcpcs_validity`` that answer as of a day. Nothing here decides."""

from __future__ import annotations

import pyarrow as pa

from hcpcs.sql.dialects import SYNTAX, published_table, require_dialect, type_name

#: Columns of ``hcpcs_on(day)``: those of ``hcpcs_validity`` that mean something where a code is valid.
COLUMNS = {
    "kind": pa.string(),
    "code": pa.string(),
    "episode": pa.int32(),
    "span_number": pa.int32(),
    "code_system": pa.string(),
    "section_id": pa.string(),
    "short_description": pa.string(),
    "long_description": pa.string(),
    "is_unlisted": pa.bool_(),
    "observed_gap": pa.bool_(),
    "license_id": pa.string(),
    "redistribution": pa.string(),
}
_IS_VALID = """not v.is_interval and v.status = 'valid' and v.kind <> 'ambulance_modifier'
  and day between v.from_day and v.to_day"""


def views_sql(dialect: str, schema: str | None = None, folder: str | None = None) -> str:
    """Statements that create ``hcpcs_on(day)``, ``hcpcs_valid(code, day)`` and the view ``hcpcs_today``.

    They read the table ``hcpcs_validity``, in ``schema`` if one is given, where they are created, too; with ``folder``
    (DuckDB, Spark) its file in that version. Raises ``HcpcsError`` for another dialect, or one that reads no files.
    """
    require_dialect(dialect, SYNTAX)
    validity = published_table(dialect, "hcpcs_validity", schema, folder)
    on, valid, today = (published_table(dialect, name, schema) for name in ("hcpcs_on", "hcpcs_valid", "hcpcs_today"))
    selected = ", ".join(f"v.{'first_code as code' if name == 'code' else name}" for name in COLUMNS)
    of_day = f"select {selected}\nfrom {validity} as v\nwhere {_IS_VALID}"
    is_valid = f"select count(*) > 0\nfrom {validity} as v\nwhere v.first_code = code and {_IS_VALID}"
    columns = ",\n  ".join(f"{name} {type_name(dialect, kind)}" for name, kind in COLUMNS.items())
    call = f"table({on}(current_date))" if dialect == "snowflake" else f"{on}(current_date)"
    return f"""-- The codes and modifiers that are valid on a day, with what they mean then.
{SYNTAX[dialect]["hcpcs_on"].format(name=on, columns=columns, body=of_day)};

-- Whether CMS lists a code or modifier as valid on a day; of CPT and CDT it lists none.
{SYNTAX[dialect]["hcpcs_valid"].format(name=valid, body=is_valid)};

-- Today's codes.
create or replace view {today} as
select * from {call};
"""
