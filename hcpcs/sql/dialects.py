"""How each SQL dialect writes names, texts, types and files. Nothing here knows a statement, and nothing runs one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow as pa

from hcpcs.errors import HcpcsError
from hcpcs.manifest import OPEN, require_tier, tier_of

_NAME = re.compile(r'"(?:[^"]|"")+"|`[^`"]+`|[^"`.\'();]+')
_PLAIN = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_BACKTICK = ("spark", "bigquery")
_READS_FILES = ("duckdb", "spark")
#: What each dialect writes, by its name and what it is for.
SYNTAX: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_name("dialects.toml").read_text("utf-8"))
_KINDS = (pa.string(), pa.int32(), pa.int64(), pa.float64(), pa.date32(), pa.bool_())


def require_dialect(dialect: str, offered: Collection[str]) -> None:
    """Raise ``HcpcsError`` for a dialect that is not offered."""
    if dialect not in offered:
        raise HcpcsError(f"no dialect {dialect!r}; there are: {', '.join(offered)}")


def identifier(dialect: str, name: str) -> str:
    """A table's name, with its schema or without, as the dialect quotes it; raises ``HcpcsError`` for what is none."""
    parts = _NAME.findall(name)
    if ".".join(parts) != name or not name.strip():
        raise HcpcsError(f'{name!r} is neither a table\'s name nor the path of a file; quote a part of it with "…"')
    plain = [p[1:-1].replace('""', '"') if p[0] in '"`' else p for p in parts]
    mark = "`" if dialect in _BACKTICK else '"'
    # A name with capitals stays as it is: some engines fold it to lower case, and Snowflake all to upper case.
    as_given = _PLAIN if dialect == "snowflake" else re.compile(r"\w*[A-Z]\w*")
    return ".".join(
        p if p == given and as_given.fullmatch(p) else mark + p.replace(mark, mark * 2) + mark
        for p, given in zip(plain, parts, strict=True)
    )


def text(dialect: str, value: str) -> str:
    """A text as a literal."""
    if dialect in ("spark", "bigquery", "snowflake"):
        value = value.replace("\\", "\\\\")
    return "'" + value.replace("'", "\\'" if dialect in _BACKTICK else "''") + "'"


def type_name(dialect: str, kind: pa.DataType, max_length: int | None = None) -> str:
    """The dialect's type for an Arrow type of the published tables."""
    *simple, list_of = SYNTAX[dialect]["types"]
    if pa.types.is_list(kind):
        return str(list_of.format(type_name(dialect, kind.value_type)))
    if max_length is not None:
        return str(SYNTAX[dialect]["text_of_length"].format(max_length))
    return str(simple[_KINDS.index(kind)])


def file(dialect: str, path: str) -> str:
    """A Parquet file as a table; raises ``HcpcsError`` for an engine that reads none where it lies."""
    if dialect == "duckdb":
        return text(dialect, path)
    if dialect == "spark" and "`" not in path:
        return f"parquet.`{path}`"
    raise HcpcsError(f"{dialect} reads no file {path!r} by its path; load it, and name the table")


def published_table(dialect: str, table: str, schema: str | None = None, folder: str | None = None) -> str:
    """A published table: by its name, in ``schema`` if one is given, or its file in the version's ``folder``.

    Raises ``HcpcsError`` for a folder that the engine does not read, ``TierRefused`` for one of the restricted tier.
    """
    if folder is None:
        return f"{identifier(dialect, schema)}.{table}" if schema else table
    if dialect not in _READS_FILES:
        raise HcpcsError(f"{dialect} reads tables, not folders: load the version's tables, and name their --schema")
    require_tier(tier_of(Path(folder)), OPEN, folder)
    return file(dialect, f"{folder}/{OPEN}/{table}.parquet")
