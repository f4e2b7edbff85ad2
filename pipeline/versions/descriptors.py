"""What a version says of itself in two standards: ``datapackage.json`` (Frictionless, Data Package 2.0) and
``croissant.json`` (MLCommons Croissant 1.1). The third, ``dcat.jsonld``, is ``pipeline.versions.dcat``.

Pure functions of the contracts and of what the version holds: no clock, no version number, no path. They belong to
the version's content, so the same tables always come with the same descriptors.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl

from hcpcs.manifest import SCHEMA_VERSION, Content, ReleaseRevision, VersionFile, json_bytes, write_files
from pipeline.versions.parquet import read_table
from schemas.columns import LICENSE_CC0, LICENSE_CMS
from schemas.contract import Column, Contract
from schemas.registry import contracts

DATAPACKAGE = "datapackage.json"
CROISSANT = "croissant.json"

KEYWORDS = ["HCPCS", "HCPCS Level II", "medical billing", "procedure codes", "modifiers", "Medicare"]
#: Where CMS offers the releases.
CMS_PAGE = "https://www.cms.gov/medicare/coding-billing/healthcare-common-procedure-system/quarterly-update"
_NAME = "hcpcs"
_DESCRIPTION = (
    "US procedure codes (HCPCS Level II) as a dated record: what each code meant on any day, what changed in each"
    " release, who owns it and what may be redistributed."
)
_SAMPLE_DESCRIPTION = "Made-up releases in CMS's format, to try the tables with. No row is CMS's: " + _DESCRIPTION

_FRICTIONLESS = {"string": "string", "bool": "boolean", "int32": "integer", "int64": "integer", "double": "number"}
_FRICTIONLESS |= {"date32[day]": "date"}
_CROISSANT = {"string": "sc:Text", "bool": "sc:Boolean", "int32": "sc:Integer", "int64": "sc:Integer"}
_CROISSANT |= {"double": "sc:Float", "date32[day]": "sc:Date"}

#: The context that Croissant 1.1 prescribes, and PROV for where the data come from.
_CONTEXT: dict[str, Any] = json.loads(Path(__file__).with_name("croissant_context.json").read_bytes())


def write_descriptors(folder: Path, content: Content) -> dict[str, VersionFile]:
    """Write both descriptors of the version in ``folder``; returns their entries for the manifest's list of files.

    ``content`` is the manifest's content so far: the tables must be written and in its list of files.
    """
    licenses = read_table(folder / content.tier / "licenses.parquet")
    files = {CROISSANT: croissant(content, licenses), DATAPACKAGE: datapackage(content, licenses)}
    return write_files(folder, {name: json_bytes(descriptor) for name, descriptor in files.items()})


def datapackage(content: Content, licenses: pl.DataFrame) -> dict[str, Any]:
    """The version as a Data Package 2.0: a resource per table, with schema, bytes, hash and licenses."""
    return {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": _NAME,
        "title": version_title(content),
        "description": version_description(content),
        "homepage": CMS_PAGE,
        "keywords": KEYWORDS,
        "licenses": _frictionless_licenses(licenses, [LICENSE_CMS, LICENSE_CC0]),
        "sources": [{"title": release_title(r, content), "path": CMS_PAGE} for r in current_releases(content)],
        "resources": [
            {
                "name": table,
                "type": "table",
                "path": name,
                "format": "parquet",
                "mediatype": "application/vnd.apache.parquet",
                "description": contract.description,
                "bytes": entry.bytes,
                "hash": f"sha256:{entry.sha256}",
                "licenses": _frictionless_licenses(licenses, contract.license_ids),
                "schema": {
                    "$schema": "https://datapackage.org/profiles/2.0/tableschema.json",
                    "fields": [_frictionless_field(c) for c in contract.columns],
                    "primaryKey": list(contract.key),
                },
            }
            for table, name, entry, contract in described_tables(content)
        ],
    }


def croissant(content: Content, licenses: pl.DataFrame) -> dict[str, Any]:
    """The version as a Croissant 1.1 data set: a file object and a record set per table, licenses, provenance.

    Its version is of the content: the number that a published version gets is no part of that.
    """
    urls = dict(licenses.select("license_id", "source").iter_rows())
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": _NAME,
        "alternateName": version_title(content),
        "description": version_description(content),
        "url": CMS_PAGE,
        "license": [urls[LICENSE_CMS], urls[LICENSE_CC0]],
        "creator": {"@type": "sc:Organization", "name": "The makers of hcpcs"},
        "version": data_version(content),
        "citeAs": _citation(content),
        "datePublished": f"{content.newest_release}-01",
        "keywords": KEYWORDS,
        "inLanguage": "en",
        "isLiveDataset": False,
        "prov:wasDerivedFrom": [
            {
                "@id": f"cms/{r.release_id}/{m.sha256}",
                "@type": "prov:Entity",
                "name": f"{release_title(r, content)}: {m.name}",
                "sha256": m.sha256,
            }
            for r in current_releases(content)
            for m in r.members
        ],
        "distribution": [
            {
                "@id": name,
                "@type": "cr:FileObject",
                "name": f"{table}.parquet",
                "description": contract.description,
                "contentUrl": name,
                # With a comma: five digits in a row are what the license gate looks for.
                "contentSize": f"{entry.bytes / 1000:,.1f} kB",
                "encodingFormat": "application/x-parquet",
                "sha256": entry.sha256,
            }
            for table, name, entry, contract in described_tables(content)
        ],
        "recordSet": [
            {
                "@id": table,
                "@type": "cr:RecordSet",
                "name": table,
                "description": contract.description,
                "key": [{"@id": f"{table}/{column}"} for column in contract.key],
                "field": [_croissant_field(table, name, c) for c in contract.columns],
            }
            for table, name, _, contract in described_tables(content)
        ],
    }


def rows_hash(content: Content) -> str:
    """A hash of all rows: it tells contents apart, and not how their files are encoded."""
    rows = [(name, entry.logical_sha256) for name, entry in sorted(content.files.items()) if entry.rows is not None]
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:12]


def data_version(content: Content) -> str:
    """The content's version as Semantic Versioning has it: the newest release, and a hash of all rows."""
    year, month = content.newest_release.split("-")
    return f"{int(year)}.{int(month)}.0+{rows_hash(content)}"


def _citation(content: Content) -> str:
    """How the data are cited, as BibTeX."""
    author = "Made up" if content.is_sample else "Centers for Medicare \\& Medicaid Services"
    return (
        f"@misc{{hcpcs, author = {{{{{author}}}}}, title = {{{version_title(content)}}},"
        f" year = {{{content.newest_release[:4]}}}, note = {{Made by hcpcs, data version {data_version(content)}}},"
        f" url = {{{CMS_PAGE}}}}}"
    )


def described_tables(content: Content) -> Iterable[tuple[str, str, VersionFile, Contract]]:
    """The tables of the version, sorted: name, file, the file's entry in the manifest, contract."""
    for name, entry in sorted(content.files.items()):
        if name.endswith(".parquet"):
            yield Path(name).stem, name, entry, contracts()[Path(name).stem]


def current_releases(content: Content) -> list[ReleaseRevision]:
    """The releases, each in the posting that stands."""
    return [r for r in content.releases if r.is_current]


def version_title(content: Content) -> str:
    """What the version is, in a line; a made-up sample says so."""
    what = "made-up sample of HCPCS Level II" if content.is_sample else "HCPCS Level II"
    return f"{what[0].upper()}{what[1:]}, releases to {content.newest_release}, tier {content.tier}"


def version_description(content: Content) -> str:
    """What the version holds, in a paragraph."""
    text = _SAMPLE_DESCRIPTION if content.is_sample else _DESCRIPTION
    return f"{text} Schema version {SCHEMA_VERSION}."


def release_title(release: ReleaseRevision, content: Content) -> str:
    """A release and its posting, in a line."""
    whose = "made-up sample release" if content.is_sample else "CMS HCPCS Level II release"
    return f"{whose} {release.release_id}, revision {release.revision}"


def _frictionless_licenses(licenses: pl.DataFrame, ids: Iterable[str]) -> list[dict[str, str]]:
    rows = {row["license_id"]: row for row in licenses.iter_rows(named=True)}
    return [{"name": i, "title": rows[i]["name"], "path": rows[i]["text_file"]} for i in ids]


def _frictionless_field(column: Column) -> dict[str, Any]:
    element = _element(column.type)
    field: dict[str, Any] = {"name": column.name, "type": "array" if element else _FRICTIONLESS[column.type]}
    field["description"] = column.description
    if not column.nullable:
        field["constraints"] = {"required": True}
    if element:
        field["arrayItem"] = {"type": _FRICTIONLESS[element]}
    if column.source:
        field["source"] = column.source
    field["license"] = column.license_id
    return field


def _croissant_field(table: str, file: str, column: Column) -> dict[str, Any]:
    element = _element(column.type)
    field: dict[str, Any] = {
        "@id": f"{table}/{column.name}",
        "@type": "cr:Field",
        "name": column.name,
        "description": column.description,
        "dataType": _CROISSANT[element or column.type],
    }
    if element:
        field |= {"isArray": True, "arrayShape": "-1"}
    return field | {"source": {"fileObject": {"@id": file}, "extract": {"column": column.name}}}


def _element(type_name: str) -> str | None:
    """The element type of a list, None for anything else."""
    found = re.fullmatch(r"list<(.+)>", type_name)
    return found[1] if found else None
