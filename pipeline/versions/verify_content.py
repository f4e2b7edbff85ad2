"""``hcpcs verify --deep``: whether what a version's files say keeps today's contracts and license policy.

It finds nothing in a version as it was published by the present code, which checked all of this; it finds what a later
contract or policy refuses, and what another program published under a manifest that agrees with it.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet

from hcpcs.manifest import NAME, OPEN, SCHEMA_VERSION, Content, Manifest
from pipeline.license_gate.check import inspect_version
from pipeline.versions.parquet import logical_sha256
from pipeline.versions.verify import Problem, Verification, verify
from schemas.contract import Contract, ContractViolation, enforce_contract
from schemas.registry import contracts, restricted_contracts
from sources.curated.license_policy import load_license_policy

#: The machine's tables are few and uneven: more workers than this wait for the largest.
_WORKERS = 2
#: How the readers of Parquet fail: polars also by a panic of its own kind.
_UNREADABLE = (pyarrow.ArrowException, OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)


def verify_deeply(location: str | Path) -> Verification:
    """Check bytes and content of the version at ``location``; raises as ``verify`` does."""
    return verify(location, _judged)


def _judged(
    folder: Path, manifest: Manifest, whole: Mapping[str, bytes], is_damaged: bool
) -> tuple[dict[str, str], list[Problem]]:
    content, tables = manifest.content, manifest.content.tables
    checks = {"schema": "checked", "rows": "checked"}
    problems: list[Problem] = []
    is_current = content.schema_version == SCHEMA_VERSION
    if is_current:
        checks["contract"] = "checked"
        problems += [
            Problem("contract", f"{content.tier}/{t}.parquet", "the manifest lacks this table")
            for t in sorted(_contracts(content).keys() - tables.keys())
        ]
    else:
        checks["contract"] = f"not checked: of the older schema {content.schema_version}"
    frames: dict[str, pl.DataFrame] = {}
    with ThreadPoolExecutor(_WORKERS) as pool:
        gate = pool.submit(_gate_problems, folder, manifest, whole, is_damaged or bool(problems))
        loaded = {table: name for table, name in tables.items() if name in whole}
        # The largest first, so that no worker is left alone with it at the end.
        ordered = sorted(loaded, key=lambda t: len(whole[loaded[t]]), reverse=True)
        done = pool.map(lambda t: _check_table(t, loaded[t], whole[loaded[t]], content, is_current), ordered)
        for table, (frame, found) in zip(ordered, done, strict=True):
            problems += found
            if frame is not None:
                frames[table] = frame
    if "hcpcs_releases" in frames and is_current:
        problems += _check_releases(frames["hcpcs_releases"], content)
    problems += gate.result()
    checks["license_gate"] = (
        "checked" if content.tier == OPEN else f"not checked: the tier {content.tier} has what the gate refuses"
    )
    return checks, problems


def _check_table(
    table: str, name: str, data: bytes, content: Content, is_current: bool
) -> tuple[pl.DataFrame | None, list[Problem]]:
    """Hold a whole file against the manifest's figures and, if the schema is this program's, the contract."""
    entry = content.files[name]
    try:
        schema = pyarrow.parquet.read_schema(io.BytesIO(data))
        frame = pl.read_parquet(data)
    except _UNREADABLE as error:
        return None, [Problem("schema", name, f"is not a Parquet file that can be read: {error}")]
    problems = [Problem("schema", name, what) for what in _schema_faults(table, schema, content, is_current)]
    if frame.height != entry.rows:
        problems.append(Problem("rows", name, f"has {frame.height:,} rows, the manifest states {entry.rows}"))
    if logical_sha256(frame) != entry.logical_sha256:
        problems.append(Problem("rows", name, "its rows do not match the hash in the manifest"))
    stated = _contracts(content).get(table)
    if is_current and stated is not None and not problems:
        try:
            enforce_contract(stated, frame)
        except ContractViolation as error:
            problems.append(Problem("contract", name, str(error)))
    return frame, problems


def _schema_faults(table: str, schema: Any, content: Content, is_current: bool) -> Iterator[str]:
    stated = {k.decode(): v.decode() for k, v in (schema.metadata or {}).items()}
    expected = {
        "hcpcs.table": table,
        "hcpcs.tier": content.tier,
        "hcpcs.schema_version": content.schema_version,
        "hcpcs.is_sample": str(content.is_sample).lower(),
    }
    for key, value in expected.items():
        if stated.get(key) != value:
            yield f"its metadata states {key} {stated.get(key)!r}, the manifest {value!r}"
    if not is_current:
        return
    contract = _contracts(content).get(table)
    if contract is None:
        yield "no contract of this schema version has such a table"
    elif not schema.equals(contract.arrow_schema(), check_metadata=False):
        yield "its columns are not those of the contract: " + ", ".join(_unlike_columns(contract, schema))


def _contracts(content: Content) -> Mapping[str, Contract]:
    return contracts() if content.tier == OPEN else restricted_contracts()


def _unlike_columns(contract: Contract, schema: Any) -> Iterator[str]:
    wanted = contract.arrow_schema()
    for name in dict.fromkeys([*wanted.names, *schema.names]):
        if name not in schema.names:
            yield f"{name} is missing"
        elif name not in wanted.names:
            yield f"{name} is extra"
        elif not schema.field(name).equals(wanted.field(name)):
            yield f"{name} is {schema.field(name).type}, not {wanted.field(name).type}"
    if sorted(wanted.names) == sorted(schema.names) and wanted.names != schema.names:
        yield "in another order"


def _check_releases(frame: pl.DataFrame, content: Content) -> Iterator[Problem]:
    """The releases that the manifest names are those that the tables speak of."""
    stated = [(r.release_id, r.revision, [m.sha256 for m in r.members]) for r in content.releases]
    loaded = list(frame.select("release_id", "revision", "member_sha256s").iter_rows())
    if stated != loaded:
        yield Problem("rows", NAME, "its releases and members are not those of the table hcpcs_releases")
    elif content.newest_release != max(release for release, *_ in stated):
        yield Problem("rows", NAME, f"{content.newest_release} is not the newest of its releases")


def _gate_problems(folder: Path, manifest: Manifest, whole: Mapping[str, bytes], is_damaged: bool) -> list[Problem]:
    """What the license gate finds in the files that are whole; a damaged table may bring its reader down.

    The restricted tier has by design what the gate refuses.
    """
    if manifest.content.tier != OPEN:
        return []
    if is_damaged:
        with tempfile.TemporaryDirectory() as rest:
            for name, data in whole.items():
                path = Path(rest) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            return _leaks(Path(rest), manifest, whole)
    return _leaks(folder, manifest, whole)


def _leaks(folder: Path, manifest: Manifest, names: Iterable[str]) -> list[Problem]:
    try:
        report = inspect_version(folder, load_license_policy(), names)
    except _UNREADABLE as error:
        return [Problem("license_gate", f"{manifest.content.tier}/", f"cannot be read: {error}")]
    tables = manifest.content.tables
    return [Problem("license_gate", tables.get(leak.table, leak.table), str(leak)) for leak in report.leaks]
