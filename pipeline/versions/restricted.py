"""The restricted tier: what a licensee may make for itself, in a folder of its own, never beside the open tier.

It is made from the tables that the last refresh left in ``outputs/work`` and from the AMA's files, and changes nothing
in ``outputs``. Reading those files belongs in ``sources.curated.cpt_files``; the terms are summed up here in our words.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import polars as pl

from hcpcs.files import write_atomically
from hcpcs.manifest import NAME, Content, Manifest, RestrictedPart, VersionFile
from hcpcs.manifest import RESTRICTED as TIER
from hcpcs.paths import Outputs
from hcpcs.version import latest_version
from pipeline.transforms.classification import CLASS_COLUMNS, classify
from pipeline.transforms.license_flags import masked
from pipeline.versions.parquet import logical_sha256, read_table, write_published_table
from pipeline.versions.publish import PublishResult, copy_licenses, files_of
from pipeline.versions.store import read_manifest
from schemas.columns import LICENSE_CPT
from schemas.contract import enforce_contract
from schemas.registry import contracts, enforce, restricted_contracts
from sources.curated.cpt_files import CptCodeList, read_cpt_files
from sources.curated.license_policy import load_license_policy
from sources.errors import SourceError

#: What must be given with ``--accept``.
ACCEPTANCE = "ama-cpt"
CPT_CODES = restricted_contracts()["cpt_codes"]
_PARTIAL = ".partial-"

#: What a license of the AMA requires, in our words, and the notice in the folder, which has them as well.
TERMS = Path(__file__).with_name("restricted_terms.txt").read_text("utf-8")
NOTICE = Path(__file__).with_name("restricted_notice.txt").read_text("utf-8").format(terms=TERMS)


class RestrictedRefused(SourceError):
    """The restricted tier may not be written there, or not so; the message says what is needed."""


@dataclass(frozen=True, slots=True)
class RestrictedRequest:
    """What was requested and found in order: the folder, and the codes of the licensee's files."""

    folder: Path
    cpt: CptCodeList


def request_restricted(
    outputs: Outputs, folder: Path, cpt_files: Sequence[Path], *, accepted: str | None
) -> RestrictedRequest:
    """Look whether a restricted version may be made, and read the AMA's files; nothing is written.

    Raises ``RestrictedRefused`` without acceptance of the terms or for a folder within ``outputs`` (or around it),
    ``CptFileError`` for files that are not what they say.
    """
    if accepted != ACCEPTANCE:
        raise RestrictedRefused(
            f"{TERMS}if you have such a license and comply with it, confirm with `--accept {ACCEPTANCE}`"
        )
    inside, outside = folder.resolve(), outputs.folder.resolve()
    if inside.is_relative_to(outside) or outside.is_relative_to(inside):
        raise RestrictedRefused(
            f"{folder} is inside {outputs.folder} or contains it; the restricted tier needs a folder of its own"
        )
    return RestrictedRequest(inside, read_cpt_files(cpt_files))


def write_restricted(outputs: Outputs, request: RestrictedRequest) -> PublishResult:
    """Write the restricted version that goes with the latest open one: whole or not at all.

    Its id is the open version's with ``-r`` and a count; the same content is not written twice. Raises
    ``RestrictedRefused`` if the tables in ``outputs/work`` are not those of the latest version.
    """
    open_version = latest_version(outputs)
    if open_version is None:
        raise RestrictedRefused(f"{outputs.folder} has no version yet; `hcpcs refresh --from DIR` publishes the first")
    manifest = read_manifest(outputs.version(open_version))
    written = _unmasked_tables(outputs, open_version, manifest.content.files)
    written["cpt_codes"] = cpt_codes(request.cpt)
    request.folder.mkdir(parents=True, exist_ok=True)
    for leftover in request.folder.glob(f"{_PARTIAL}*"):
        shutil.rmtree(leftover)
    partial = request.folder / f"{_PARTIAL}{os.getpid()}"
    metadata = {
        "tier": TIER,
        "is_sample": json.dumps(manifest.content.is_sample),
        "notice": "Restricted: has content of the AMA; do not redistribute. See NOTICE.txt.",
    }
    try:
        for name, frame in written.items():
            stated = restricted_contracts()[name]
            write_published_table(partial / TIER / f"{name}.parquet", stated, frame, metadata)
        (partial / "NOTICE.txt").write_text(NOTICE, "utf-8")
        copy_licenses(partial)
        rows = {name: frame.height for name, frame in written.items()}
        licenses = sorted(path.name.removesuffix(".txt") for path in (partial / "LICENSES").iterdir())
        content = replace(
            manifest.content,
            tier=TIER,
            files=files_of(partial, {n: (frame.height, logical_sha256(frame)) for n, frame in written.items()}),
            restricted=RestrictedPart(
                open_version, NOTICE, tuple(licenses), tuple(asdict(file) for file in request.cpt.files)
            ),
        )
        loaded = _loaded(request.folder, open_version)
        for version, known in loaded.items():
            if known == content:
                shutil.rmtree(partial)
                return PublishResult(version, request.folder / version, False, rows)
        number = max((int(v.rsplit("-r", 1)[1]) for v in loaded), default=0) + 1
        version = f"{open_version}-r{number}"
        build = replace(manifest.build, version=version, files={})
        write_atomically(partial / NAME, Manifest(content, build).to_json())
        partial.rename(request.folder / version)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return PublishResult(version, request.folder / version, True, rows)


def cpt_codes(listed: CptCodeList) -> pl.DataFrame:
    """``cpt_codes``: the licensee's codes, classified by shape and flagged; sorted by code."""
    by_day = [
        classify(part, "code", date=part["valid_from"][0])
        for part in listed.codes.partition_by("valid_from", maintain_order=True)
    ]
    frame = pl.concat(by_day)
    return enforce_contract(
        CPT_CODES,
        frame.drop(c for c in CLASS_COLUMNS if c not in CPT_CODES.polars_schema).with_columns(
            valid_to=pl.lit(None, pl.Date),
            valid_from_basis=pl.when(pl.col("valid_from").is_null())
            .then(pl.lit("not_stated"))
            .otherwise(pl.lit("descriptor")),
            license_id=pl.lit(LICENSE_CPT),
            redistribution=pl.lit("withheld"),
        ),
    ).sort("code")


def _unmasked_tables(outputs: Outputs, version: str, files: Mapping[str, VersionFile]) -> dict[str, pl.DataFrame]:
    """The whole tables that the version was made from: a failed refresh may have left newer ones in their place."""
    policy = load_license_policy()
    tables = {}
    for name in contracts():
        stated = files.get(f"open/{name}.parquet")
        path = outputs.work / f"{name}.parquet"
        frame = enforce(name, read_table(path)) if path.exists() else None
        masked_sha256 = None if frame is None else logical_sha256(enforce(name, masked(name, frame, policy)))
        if frame is None or stated is None or masked_sha256 != stated.logical_sha256:
            raise RestrictedRefused(
                f"{path} is not the table that version {version} was made from; run `hcpcs refresh` first and correct"
                " what it refuses"
            )
        tables[name] = frame
    return tables


def _loaded(folder: Path, open_version: str) -> dict[str, Content]:
    """The restricted versions of an open version that the folder holds, with their content."""
    names = [p.name for p in folder.iterdir() if re.fullmatch(re.escape(open_version) + r"-r\d+", p.name)]
    return {name: read_manifest(folder / name).content for name in sorted(names)}
