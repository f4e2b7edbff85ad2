"""``hcpcs verify``: whether a copy of a version is what was published. It reads the copy alone and changes nothing.

Every problem names the file. What a version must be is stated by its manifest, the contracts and the license gate.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet

from hcpcs.manifest import NAME, OPEN, SCHEMA_VERSION, Content, Manifest, ManifestDamaged, VersionFile
from hcpcs.paths import Outputs
from hcpcs.version import version_folder
from pipeline.versions.license_gate import inspect_version
from pipeline.versions.parquet import logical_sha256
from pipeline.versions.published_target import fetched_version
from schemas.contract import Contract, ContractViolation, enforce_contract
from schemas.registry import contracts, restricted_contracts
from sources.curated.license_policy import load_license_policy
from sources.errors import SourceError

#: The machine's tables are few and uneven: more workers than this wait for the largest.
_WORKERS = 2
#: How the readers of Parquet fail: polars also by a panic of its own kind.
_UNREADABLE = (pyarrow.ArrowException, OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one file: which check found it, the file, and what it is."""

    check: str
    file: str
    what: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What verifying found: the copy, its version, what was checked (or why not), and every problem."""

    location: str
    version: str | None
    schema_version: str | None
    files: int
    rows: int
    checks: dict[str, str]
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """The report for scripts."""
        return {
            "location": self.location,
            "version": self.version,
            "ok": self.ok,
            "schema_version": self.schema_version,
            "files": self.files,
            "rows": self.rows,
            "checks": self.checks,
            "problems": [{"check": p.check, "file": p.file, "what": p.what} for p in self.problems],
        }


def verify(location: str | Path) -> Verification:
    """Check the version at ``location``: a version's folder, a folder of outputs (its latest), or either as a URL.

    Raises ``SourceError`` where there is no version at all, ``ManifestTooNew`` for one of a newer schema. Anything
    else that is wrong is a problem in the report.
    """
    if "://" in str(location):
        with fetched_version(str(location)) as (folder, missing):
            return _verify_folder(folder, str(location), [Problem("files", name, what) for name, what in missing])
    folder = Path(location)
    if not folder.exists():
        raise SourceError(f"{folder} does not exist; `hcpcs versions` lists the published versions")
    if not (folder / NAME).exists() and (folder / "latest.json").exists():
        folder = version_folder(Outputs(folder))
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a version: it is not a folder with {NAME}")
    return _verify_folder(folder, str(location), [])


def _verify_folder(folder: Path, location: str, problems: list[Problem]) -> Verification:
    if not (folder / NAME).is_file():
        raise SourceError(f"{location} is not a version: it has no {NAME}")
    checks = {"manifest": "checked"}
    try:
        manifest = Manifest.from_json((folder / NAME).read_bytes(), location)
    except ManifestDamaged as error:
        damage = Problem("manifest", NAME, str(error).removeprefix(f"{location}: "))
        return Verification(location, None, None, 0, 0, checks, (damage,))
    content = manifest.content
    reported = {p.file for p in problems}
    whole: dict[str, bytes] = {}
    for name, entry in manifest.files.items():
        if name not in reported:
            data, found = _check_file(folder / name, name, entry)
            problems += found
            if data is not None:
                whole[name] = data
    problems += _extra_files(folder, manifest)
    version = manifest.build.version
    if folder.parent.name == "versions" and folder.name != version:
        problems.append(Problem("manifest", NAME, f"is that of version {version}, in the folder of {folder.name}"))
    checks |= {"files": "checked", "hashes": "checked", "schema": "checked", "rows": "checked"}
    tables = manifest.content.tables
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
        gate = pool.submit(_gate_problems, folder, manifest, whole, bool(problems))
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
    return Verification(
        location,
        version,
        content.schema_version,
        len(whole),
        sum(f.height for f in frames.values()),
        checks,
        tuple(sorted(problems, key=lambda p: (p.file, p.check, p.what))),
    )


def _check_file(path: Path, name: str, entry: VersionFile) -> tuple[bytes | None, list[Problem]]:
    """The bytes of a file that is as the manifest states, or what is wrong with it."""
    if path.is_symlink():
        return None, [Problem("files", name, "is a link and not a file")]
    if not path.is_file():
        return None, [Problem("files", name, "is missing")]
    data = path.read_bytes()
    if len(data) != entry.bytes:
        return None, [Problem("hashes", name, f"has {len(data):,} bytes, the manifest states {entry.bytes:,}")]
    found = hashlib.sha256(data).hexdigest()
    if found != entry.sha256:
        return None, [Problem("hashes", name, f"its sha256 is {found[:12]}…, the manifest states {entry.sha256[:12]}…")]
    return data, []


def _extra_files(folder: Path, manifest: Manifest) -> Iterator[Problem]:
    known = {NAME, *manifest.files}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if (path.is_symlink() or not path.is_dir()) and name not in known:
            yield Problem("files", name, "is not of this version: the manifest does not name it")


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
