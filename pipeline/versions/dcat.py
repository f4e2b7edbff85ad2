"""``dcat.jsonld``: the version as a catalog of DCAT 3, for catalogs that read RDF.

A pure function of the contracts and of what the version holds, like ``descriptors``: no clock, no version
number, no path. Addresses are relative to the file, so a version may be moved.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from hcpcs.manifest import Content, ReleaseRevision, VersionFile, json_bytes, write_files
from pipeline.lineage import columns as lineage
from pipeline.versions.descriptors import (
    CMS_PAGE,
    KEYWORDS,
    current_releases,
    described_tables,
    release_title,
    rows_hash,
    version_description,
    version_title,
)
from pipeline.versions.parquet import read_table
from schemas.columns import LICENSE_CC0, LICENSE_CMS
from schemas.contract import Contract

DCAT = "dcat.jsonld"

_EU = "http://publications.europa.eu/resource/authority/"
_MEDIA_TYPES = "https://www.iana.org/assignments/media-types/"
_PARQUET = _MEDIA_TYPES + "application/vnd.apache.parquet"
_PARQUET_FORMAT = "https://parquet.apache.org/docs/file-format/"
_DCAT_3 = "https://www.w3.org/TR/vocab-dcat-3/"
_CATALOG, _SERIES, _BUILD, _US, _CMS = "#catalog", "#releases", "#refresh", "#makers", "#cms"

#: Words of DCAT and of what it builds on, with the types of their values.
_CONTEXT: dict[str, Any] = json.loads(Path(__file__).with_name("dcat_context.json").read_bytes())


def write_dcat(folder: Path, content: Content) -> dict[str, VersionFile]:
    """Write the catalog of the version in ``folder``; returns its entry for the manifest's list of files.

    ``content`` is the manifest's content so far: the tables must be written and in its list of files.
    """
    licenses = read_table(folder / content.tier / "licenses.parquet")
    return write_files(folder, {DCAT: json_bytes(dcat(content, licenses))})


def dcat(content: Content, licenses: pl.DataFrame) -> dict[str, Any]:
    """The version as JSON-LD: a catalog, a dataset per table, the releases it was made of as a series, licenses.

    ``dcat:version`` tells contents apart; the number that a published version gets is no part of its content.
    """
    releases = current_releases(content)
    tables = list(described_tables(content))
    used = sorted({LICENSE_CMS, LICENSE_CC0}.union(*(c.license_ids for *_, c in tables)))
    texts = {row["license_id"]: row for row in licenses.iter_rows(named=True)}
    return {
        "@context": _CONTEXT,
        "@graph": [
            {
                "@id": _CATALOG,
                "@type": "dcat:Catalog",
                "dcterms:title": version_title(content),
                "dcterms:description": version_description(content),
                "dcterms:publisher": _US,
                "dcterms:language": _EU + "language/ENG",
                "dcterms:conformsTo": _DCAT_3,
                "dcterms:license": [texts[i]["text_file"] for i in used],
                "dcat:version": _version(content),
                "dcat:dataset": [*(f"#{t}" for t, *_ in tables), _SERIES, *map(_release_id, releases)],
            },
            *(_table(content, releases, texts, *described) for described in tables),
            *_series(content, releases),
            {
                "@id": _BUILD,
                "@type": "prov:Activity",
                "dcterms:title": "hcpcs refresh",
                "prov:used": [_release_id(r) for r in releases],
                "prov:wasAssociatedWith": _US,
            },
            *(_license(texts[i]) for i in used),
            {"@id": _US, "@type": ["foaf:Agent", "prov:Agent"], "foaf:name": "The makers of hcpcs"},
            {
                "@id": _CMS,
                "@type": ["foaf:Organization", "prov:Agent"],
                "foaf:name": "Centers for Medicare & Medicaid Services",
                "foaf:homepage": "https://www.cms.gov/",
            },
        ],
    }


def _table(
    content: Content,
    releases: Sequence[ReleaseRevision],
    texts: Mapping[str, Mapping[str, Any]],
    table: str,
    file: str,
    entry: VersionFile,
    contract: Contract,
) -> dict[str, Any]:
    """A table as a dataset, with its one distribution."""
    derived_from, of_releases = _derived_from(table)
    main = LICENSE_CMS if LICENSE_CMS in contract.license_ids else contract.license_ids[0]
    described: dict[str, Any] = {
        "@id": f"#{table}",
        "@type": "dcat:Dataset",
        "dcterms:identifier": table,
        "dcterms:title": table,
        "dcterms:description": contract.description,
        "dcterms:publisher": _US,
        "dcterms:license": [texts[i]["text_file"] for i in contract.license_ids],
        "dcterms:language": _EU + "language/ENG",
        "dcterms:accessRights": _EU + "access-right/PUBLIC",
        "dcat:version": _version(content),
        "dcat:keyword": KEYWORDS,
        "dcat:theme": _EU + "data-theme/HEAL",
        "prov:wasGeneratedBy": _BUILD,
        "prov:wasDerivedFrom": [f"#{name}" for name in derived_from],
    }
    if of_releases:
        described |= {
            "dcterms:accrualPeriodicity": _EU + "frequency/QUARTERLY",
            "dcterms:spatial": _EU + "country/USA",
            "dcterms:temporal": {
                "@type": "dcterms:PeriodOfTime",
                "dcat:startDate": _day(releases[0]),
                "dcat:endDate": _day(releases[-1]),
            },
            "prov:wasDerivedFrom": [*described["prov:wasDerivedFrom"], *map(_release_id, releases)],
        }
    distribution: dict[str, Any] = {
        "@id": f"#{table}-parquet",
        "@type": "dcat:Distribution",
        "dcterms:title": f"{table}.parquet",
        "dcat:accessURL": file,
        "dcat:downloadURL": file,
        "dcat:mediaType": _PARQUET,
        "dcterms:conformsTo": _PARQUET_FORMAT,
        "dcat:byteSize": entry.bytes,
        "spdx:checksum": _checksum(entry.sha256),
        "dcterms:license": texts[main]["text_file"],
    }
    if rights := _rights(contract, main):
        distribution["dcterms:rights"] = {"@type": "dcterms:RightsStatement", "rdfs:label": rights}
    return described | {"dcat:distribution": distribution}


def _derived_from(table: str) -> tuple[list[str], bool]:
    """The published tables that a table is made from, steps between left out, and whether releases are behind it."""
    derived_from, of_releases = set(), False
    onward, seen = list(lineage.table_inputs(table)), set()
    while onward:
        found = lineage.table(onward.pop())
        if found.name in seen:
            continue
        seen.add(found.name)
        of_releases |= found.group == "staged"
        onward += found.inputs
        if found.is_published:
            derived_from.add(found.name)
    return sorted(derived_from), of_releases


def _rights(contract: Contract, main: str) -> str:
    """What the one license of a distribution leaves unsaid: columns under another, rows that name theirs."""
    others = [i for i in contract.license_ids if i != main]
    stated = [f"{i}: {', '.join(c.name for c in contract.columns if c.license_id == i)}" for i in others]
    if contract.has_license_columns:
        stated.append("each row names its license in license_id, and in withheld_fields what is left out")
    return "; ".join(stated)


def _series(content: Content, releases: Sequence[ReleaseRevision]) -> Iterator[dict[str, Any]]:
    """CMS's releases as a series: each one a dataset, its members as distributions, neighbors linked."""
    publisher = _US if content.is_sample else _CMS
    page = {} if content.is_sample else {"dcat:landingPage": CMS_PAGE}
    # A page: members lie in zips, and the URL of a zip may lead to other bytes tomorrow.
    access = {} if content.is_sample else {"dcat:accessURL": CMS_PAGE}
    whose = "Made-up sample releases" if content.is_sample else "CMS's releases of HCPCS Level II"
    yield {
        "@id": _SERIES,
        "@type": "dcat:DatasetSeries",
        "dcterms:title": whose,
        "dcterms:description": f"{whose} that the tables were made from, each in its current revision.",
        "dcterms:publisher": publisher,
        "dcterms:accrualPeriodicity": _EU + "frequency/QUARTERLY",
        "dcat:first": _release_id(releases[0]),
        "dcat:last": _release_id(releases[-1]),
    } | page
    before: ReleaseRevision | None = None
    for release in releases:
        yield (
            {
                "@id": _release_id(release),
                "@type": ["dcat:Dataset", "prov:Entity"],
                "dcterms:identifier": release.release_id,
                "dcterms:title": release_title(release, content),
                "dcterms:description": f"{release_title(release, content)}: {len(release.members)} members.",
                "dcterms:publisher": publisher,
                "dcterms:temporal": {"@type": "dcterms:PeriodOfTime", "dcat:startDate": _day(release)},
                "dcat:version": str(release.revision),
                "dcat:inSeries": _SERIES,
                "dcat:distribution": [
                    {
                        "@id": f"cms/{release.release_id}/{member.sha256}",
                        "@type": ["dcat:Distribution", "prov:Entity"],
                        "dcterms:title": member.name,
                        "dcat:byteSize": member.bytes,
                        "spdx:checksum": _checksum(member.sha256),
                    }
                    | access
                    for member in release.members
                ],
            }
            | page
            | ({"dcat:prev": _release_id(before)} if before else {})
        )
        before = release


def _license(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "@id": row["text_file"],
        "@type": "dcterms:LicenseDocument",
        "dcterms:identifier": row["license_id"],
        "dcterms:title": row["name"],
        "rdfs:seeAlso": row["source"],
    }


def _checksum(sha256: str) -> dict[str, str]:
    return {
        "@type": "spdx:Checksum",
        "spdx:algorithm": "spdx:checksumAlgorithm_sha256",
        "spdx:checksumValue": sha256,
    }


def _version(content: Content) -> str:
    """The newest release, and a hash of all rows."""
    return f"{content.newest_release}+{rows_hash(content)}"


def _release_id(release: ReleaseRevision) -> str:
    return f"#release-{release.release_id}"


def _day(release: ReleaseRevision) -> str:
    return f"{release.release_id}-01"
