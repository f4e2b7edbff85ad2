"""A version with few codes, for tests of annotation: only what it reads, made up."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from hcpcs.manifest import OPEN, SCHEMA_VERSION, Build, Content, Manifest
from pipeline.transforms.published_tables import code_validity
from sources.curated.license_policy import load_license_policy
from sources.curated.tables import load_code_sections, load_code_systems

#: Kind, code, episode, first day, last day, basis of the last day.
Span = tuple[str, str, int, dt.date, dt.date | None, str]


SPANS: list[Span] = [
    ("procedure", "J1100", 1, dt.date(2010, 1, 1), None, "open"),
    ("procedure", "J0570", 1, dt.date(2015, 1, 1), dt.date(2016, 12, 31), "termination"),
    ("procedure", "J0570", 2, dt.date(2018, 1, 1), dt.date(2019, 12, 31), "next_span"),
    ("procedure", "J0570", 2, dt.date(2020, 1, 1), None, "open"),
    ("procedure", "C9716", 1, dt.date(2012, 1, 1), dt.date(2015, 12, 31), "absence"),
    ("procedure", "J9999", 1, dt.date(2010, 1, 1), None, "open"),
    ("modifier", "RT", 1, dt.date(2010, 1, 1), None, "open"),
    ("modifier", "P1", 1, dt.date(2010, 1, 1), None, "open"),
    ("modifier", "XE", 1, dt.date(2015, 1, 1), dt.date(2018, 12, 31), "termination"),
]


def write_version(folder: Path, spans: Sequence[Span]) -> Path:
    """A version that holds ``spans`` (kind, code, episode, first day, last day, basis of the last day)."""
    (folder / "open").mkdir(parents=True, exist_ok=True)
    names = ["kind", "code", "episode", "valid_from", "valid_to", "valid_to_basis"]
    kinds = dict(zip(names, [pl.String, pl.String, pl.Int32, pl.Date, pl.Date, pl.String], strict=True))
    history = pl.DataFrame(spans, schema=kinds, orient="row").with_columns(
        span_number=pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("kind", "code", "episode"),
        observed_gap=pl.lit(False),
        last_release=pl.lit("2025-10"),
        short_description=pl.format("{} in its meaning {} since {}", "code", "episode", "valid_from"),
        long_description=pl.lit(None, pl.String),
        type_of_service_codes=pl.lit(["1", "9"]),
    )
    codes = (
        history.filter(kind="procedure")
        .select("code", "episode")
        .unique()
        .with_columns(
            is_unlisted=pl.col("code").str.ends_with("9"),
            replaced_by=pl.when(pl.col("episode") == 1)
            .then(pl.lit(["A0001", "A0002"]))
            .otherwise(pl.lit([], pl.List(pl.String))),
        )
    )
    modifiers = history.filter(kind="modifier").select("code", "episode", replaced_by=pl.lit([], pl.List(pl.String)))
    tables = {
        "hcpcs_history": history,
        "hcpcs_validity": code_validity(history, codes, modifiers.unique(), load_license_policy()),
        "hcpcs_codes": codes,
        "code_systems": load_code_systems(),
        "code_sections": load_code_sections(),
    }
    for name, frame in tables.items():
        frame.write_parquet(folder / "open" / f"{name}.parquet")
    content = Content(SCHEMA_VERSION, OPEN, True, "2025-10", (), {}, {}, {}, {})
    build = Build("2025.10.7", None, "2025-10-01T00:00:00+00:00", "0", None, "3.11", {})
    (folder / "manifest.json").write_bytes(Manifest(content, build).to_json())
    return folder
