"""How long annotating takes, against reading, joining and copying the same claims with the tools that people have.

    python -m benchmarks.annotate --version outputs/latest --lines 100_000_000

Claims are generated: codes by Zipf's law, CPT-shaped numbers and HCPCS mixed, 15 years of days, 1 % odd. Each case runs
in a process of its own, the best of a few runs counts, and the peak of its memory is the process's.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import peak_mb

COLUMNS = ["hcpcs_code", "service_date", "paid_amount"]
ADDED = [
    "code_system",
    "code_category",
    "section_id",
    "code_status_on_date",
    "episode",
    "short_description",
    "replaced_by",
    "redistribution",
]
_ROW_GROUP = 1_000_000
_FIRST_DAY, _DAYS = 14_975, 5_479  # 2011-01-01, 15 years


def generate(path: Path, version: Path, lines: int) -> None:
    """Claims of ``lines`` lines in one Parquet file, always the same."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    rng = np.random.default_rng(8)
    history = pq.read_table(version / "open" / "hcpcs_history.parquet", columns=["kind", "code"])
    ours = pc.unique(history.filter(pc.equal(history["kind"], "procedure"))["code"]).to_pylist()
    numbers = [f"{n:05}" for n in rng.choice(np.arange(100, 100_000), 9_000, replace=False)]
    codes = np.array(ours + numbers)
    rng.shuffle(codes)
    schema = pa.schema([("hcpcs_code", pa.string()), ("service_date", pa.date32()), ("paid_amount", pa.float64())])
    partial = path.with_suffix(".part")
    with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for start in range(0, lines, _ROW_GROUP):
            count = min(_ROW_GROUP, lines - start)
            picked = codes[(np.minimum(rng.zipf(1.3, count), 10**9) - 1) % len(codes)].astype(object)
            odd = np.flatnonzero(rng.random(count) < 0.01)
            for i, way in zip(odd, rng.integers(0, 5, len(odd)), strict=True):
                code = picked[i]
                picked[i] = (code.lower(), f" {code} ", f"{code}-59", f"X{i}?{way}", None)[way]
            days = (_FIRST_DAY + rng.integers(0, _DAYS, count)).astype(np.int32)
            table = pa.table(
                {
                    "hcpcs_code": pa.array(picked, pa.string()),
                    "service_date": pa.array(days).cast(pa.date32()),
                    "paid_amount": np.round(rng.gamma(2, 60, count), 2),
                }
            )
            writer.write_table(table, row_group_size=_ROW_GROUP)
    partial.rename(path)


def deepen(version: Path, folder: Path, spans: int = 40) -> Path:
    """A version whose history has ``spans`` spans a code, a quarter each, for the cost of depth."""
    import polars as pl

    from pipeline.transforms.published_tables import code_validity
    from schemas.columns import LicenseColumns
    from sources.curated.license_policy import load_license_policy

    if not folder.exists():
        shutil.copytree(version, folder)
        history = pl.read_parquet(version / "open" / "hcpcs_history.parquet")
        first = history.unique(["kind", "code"], keep="first", maintain_order=True)
        number = pl.DataFrame({"n": range(spans)})
        start = pl.date(2014, 1, 1).dt.offset_by(pl.format("{}q", pl.col("n")))
        end = pl.date(2014, 1, 1).dt.offset_by(pl.format("{}q", pl.col("n") + 1)) - pl.duration(days=1)
        deep = first.join(number, how="cross").with_columns(
            span_number=(pl.col("n") + 1).cast(pl.Int32),
            valid_from=start,
            valid_to=pl.when(pl.col("n") + 1 < spans).then(end),
            valid_to_basis=pl.when(pl.col("n") + 1 < spans).then(pl.lit("next_span")).otherwise(pl.lit("open")),
        )
        deep.drop("n").write_parquet(folder / "open" / "hcpcs_history.parquet")
        spans_alone = deep.drop("n", *LicenseColumns.to_schema().columns)
        states = [pl.read_parquet(version / "open" / f"hcpcs_{name}.parquet") for name in ("codes", "modifiers")]
        rows = code_validity(spans_alone, states[0], states[1], load_license_policy())
        rows.write_parquet(folder / "open" / "hcpcs_validity.parquet")
    return folder


def generate_wide(folder: Path, version: Path, lines: int) -> None:
    """The same claims as people have them: 30 columns, days as ISO text; a Hive folder, a CSV, and it compressed."""
    import duckdb

    narrow = folder / f"claims-{lines}.parquet"
    if not narrow.exists():
        generate(narrow, version, lines)
    wide = folder / f"wide-{lines}"
    partial = wide.with_suffix(".part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    more = ", ".join(f"cast(hash(claim_id, {n}) % {10 ** (n % 9 + 2)} as varchar) as field_{n:02}" for n in range(20))
    claims = f"""
        select *, {more} from (
            select file_row_number as claim_id, 1 + file_row_number % 9 as line_number,
                hash(file_row_number) % 1000000 as npi,
                hcpcs_code, 'RT' as modifier_1, null as modifier_2, strftime(service_date, '%Y-%m-%d') as service_date,
                paid_amount, 'words, of any length' as description, year(service_date) as year
            from read_parquet('{narrow}', file_row_number = true))
    """
    duckdb.sql(f"copy ({claims}) to '{partial}/hive' (format parquet, partition_by (year), compression zstd)")
    duckdb.sql(f"copy (select * exclude (year) from ({claims})) to '{partial}/claims.csv' (header)")
    duckdb.sql(
        f"copy (from read_csv('{partial}/claims.csv', all_varchar = true)) to '{partial}/claims.csv.gz' (header)"
    )
    partial.rename(wide)


def generate_layouts(folder: Path, version: Path) -> None:
    """A million lines in 50,000 small files, and ten million in one row group."""
    import pyarrow.parquet as pq

    for name, lines in (("small_files", 1_000_000), ("one_group", 10_000_000)):
        if (folder / name).exists():
            continue
        generate(folder / "claims.part", version, lines)
        partial = folder / f"{name}.part"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        claims = pq.read_table(folder / "claims.part")
        each = 20 if name == "small_files" else lines
        for first in range(0, lines, each):
            pq.write_table(claims.slice(first, each), partial / f"{first:08}.parquet", row_group_size=each)
        partial.rename(folder / name)
    (folder / "claims.part").unlink(missing_ok=True)


def ours_wide(claims: Path, version: Path, out: Path) -> None:
    from hcpcs.annotate.engine import annotate

    annotate(claims, out, version=version, code="hcpcs_code", date="service_date", columns=ADDED)


def duckdb_wide(claims: Path, version: Path, out: Path) -> None:
    import duckdb

    is_csv = ".csv" in claims.name
    source = f"read_csv('{claims}', all_varchar = true)" if is_csv else f"read_parquet('{claims}/**/*.parquet')"
    partition = "" if is_csv else ", partition_by (year)"
    duckdb.sql("set preserve_insertion_order = true")
    duckdb.sql(
        f"""
        copy (
            select c.*, h.episode, h.short_description, h.license_id, h.redistribution,
                case when h.code is null then 'not valid' else 'valid' end as code_status_on_date
            from {source} as c
            left join '{version}/open/hcpcs_history.parquet' as h on h.kind = 'procedure' and h.code = c.hcpcs_code
                and cast(c.service_date as date) >= h.valid_from
                and (h.valid_to is null or cast(c.service_date as date) <= h.valid_to)
        ) to '{out}' (format parquet, compression zstd{partition})
        """
    )


def pyarrow_read(claims: Path, version: Path, out: Path) -> None:
    import pyarrow.parquet as pq

    pq.read_table(claims, columns=COLUMNS)


def ours_to_an_aggregate(claims: Path, version: Path, out: Path) -> None:
    from hcpcs.annotate.engine import annotate

    annotate(claims, version=version, code="hcpcs_code", date="service_date", amount="paid_amount")


def ours_to_parquet(claims: Path, version: Path, out: Path) -> None:
    from hcpcs.annotate.engine import annotate

    annotate(claims, out, version=version, code="hcpcs_code", date="service_date", columns=ADDED)


def duckdb_range_join(claims: Path, version: Path, out: Path) -> None:
    import duckdb

    duckdb.sql(
        f"""
        select h.code is not null as is_valid, h.license_id, count(*), sum(c.paid_amount)
        from '{claims}' as c
        left join '{version}/open/hcpcs_history.parquet' as h on h.kind = 'procedure' and h.code = c.hcpcs_code
            and c.service_date >= h.valid_from and (h.valid_to is null or c.service_date <= h.valid_to)
        group by all
        """
    ).fetchall()


def polars_join_asof(claims: Path, version: Path, out: Path) -> None:
    import polars as pl

    history = (
        pl.scan_parquet(version / "open" / "hcpcs_history.parquet")
        .filter(kind="procedure")
        .select(pl.col("code").alias("hcpcs_code"), "valid_from", "valid_to", "license_id")
        .sort("valid_from")
    )
    joined = (
        pl.scan_parquet(claims)
        .sort("service_date")
        .join_asof(history, left_on="service_date", right_on="valid_from", by="hcpcs_code")
    )
    valid = pl.col("valid_from").is_not_null() & (pl.col("valid_to") >= pl.col("service_date")).fill_null(True)
    joined.group_by(valid.alias("is_valid"), "license_id").agg(pl.len(), pl.col("paid_amount").sum()).collect()


def polars_copy(claims: Path, version: Path, out: Path) -> None:
    import polars as pl

    pl.scan_parquet(claims).sink_parquet(out, compression="zstd")


#: Claims as people have them, by their place below the folder that is generated.
WIDE = {"hive": "hive", "csv": "claims.csv", "csv_gz": "claims.csv.gz"}
#: The three columns in other layouts.
LAYOUTS = ("small_files", "one_group")
CASES: dict[str, Callable[[Path, Path, Path], None]] = {
    "pyarrow_read": pyarrow_read,
    "ours_to_an_aggregate": ours_to_an_aggregate,
    "ours_40_spans": ours_to_an_aggregate,
    "duckdb_range_join": duckdb_range_join,
    "polars_join_asof": polars_join_asof,
    "polars_copy": polars_copy,
    "ours_to_parquet": ours_to_parquet,
    **{f"{who}_{kind}": how for kind in WIDE for who, how in (("ours", ours_wide), ("duckdb", duckdb_wide))},
    **{f"{who}_{kind}": how for kind in LAYOUTS for who, how in (("ours", ours_wide), ("polars_copy", polars_copy))},
}
#: What is promised: a case, at most so many times another (or at least, where the factor is below 1).
PROMISES = [
    ("ours_to_an_aggregate", "pyarrow_read", 2.5),
    ("ours_to_an_aggregate", "duckdb_range_join", 1 / 1.8),
    ("ours_to_an_aggregate", "polars_join_asof", 1 / 5),
    ("ours_to_parquet", "polars_copy", 2.0),
    ("ours_40_spans", "ours_to_an_aggregate", 2.0),
]


def measure(case: str, claims: Path, version: Path, folder: Path, runs: int, lines: int) -> dict[str, Any]:
    """Run a case in this process: best and all seconds, processor seconds of the best, peak memory in MB."""
    if case == "ours_40_spans":
        version = deepen(version, folder / "deep")
    kind = case.partition("_")[2]
    if kind in WIDE:
        claims = claims.parent / f"wide-{lines}" / WIDE[kind]
    layout = next((name for name in LAYOUTS if case.endswith(f"_{name}")), None)
    if layout:
        claims = claims.parent / layout
    seconds = []
    # Ours writes a folder, as every engine on many cores does best; the rivals write one file, a folder from a folder.
    to_folder = case.startswith("ours") or (claims.is_dir() and not case.startswith("polars"))
    out = folder / (case if to_folder else f"{case}.parquet")
    for _ in range(runs):
        shutil.rmtree(out, ignore_errors=True)
        out.unlink(missing_ok=True)
        used, start = time.process_time(), time.perf_counter()
        CASES[case](claims, version, out)
        seconds.append((time.perf_counter() - start, time.process_time() - used))
        shutil.rmtree(out, ignore_errors=True)
        out.unlink(missing_ok=True)
    best = min(seconds)
    return {
        "case": case,
        "seconds": round(best[0], 2),
        "processor_seconds": round(best[1], 2),
        "all": [round(s, 2) for s, _ in seconds],
        "peak_mb": peak_mb(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", type=Path, required=True, help="folder of a published version")
    parser.add_argument("--lines", type=lambda text: int(text.replace("_", "")), default=100_000_000)
    parser.add_argument("--wide-lines", type=lambda text: int(text.replace("_", "")), default=2_000_000)
    parser.add_argument("--folder", type=Path, default=Path("outputs/bench"), help="where claims are generated")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cases", default=",".join(CASES), help="which, by name and comma")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    version, claims = given.version.resolve(), given.folder / f"claims-{given.lines}.parquet"
    if given.case:
        print(json.dumps(measure(given.case, claims, version, given.folder, given.runs, given.wide_lines)))
        return
    if not (given.folder / f"wide-{given.wide_lines}").exists():
        generate_wide(given.folder, version, given.wide_lines)
    if any(case.endswith(LAYOUTS) for case in given.cases.split(",")):
        generate_layouts(given.folder, version)
    if not claims.exists():
        generate(claims, version, given.lines)
    print(f"{given.lines:,} lines, {claims.stat().st_size / 1e6:,.0f} MB; {machine()}")
    found, failed = {}, False
    for case in given.cases.split(","):
        command = [sys.executable, "-m", "benchmarks.annotate", "--case", case, "--version", str(version)]
        command += ["--lines", str(given.lines), "--folder", str(given.folder), "--runs", str(given.runs)]
        command += ["--wide-lines", str(given.wide_lines)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{case}: failed ({done.stderr.strip().splitlines()[-1:]})")
            failed = True
            continue
        found[case] = json.loads(done.stdout)
        load = os.getloadavg()[0]
        print(f"{case:22} {found[case]} load {load:.1f}", flush=True)
    for case, rival, factor in PROMISES:
        if case in found and rival in found:
            ratio = found[case]["seconds"] / found[rival]["seconds"]
            failed |= ratio > factor
            kept = "kept" if ratio <= factor else "BROKEN"
            print(f"{case} / {rival}: {ratio:.2f}, promised at most {factor:.2f}: {kept}")
    sys.exit(failed)


def machine() -> str:
    """The machine and the versions that figures stand for."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    names = ("pyarrow", "numpy", "polars", "duckdb")
    versions = ", ".join(f"{n} {importlib.metadata.version(n)}" for n in names)
    return f"{os.cpu_count()} × {model}, load {os.getloadavg()[0]:.1f}; Python {platform.python_version()}, {versions}"


if __name__ == "__main__":
    main()
