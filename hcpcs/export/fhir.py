"""``hcpcs export --fhir``: the codes as FHIR R4 and R5 terminology, in NPM packages and as NDJSON.

A CodeSystem for each release; ValueSets and a ConceptMap of the newest one. R4 and R5 differ in the ConceptMap alone.
"""

from __future__ import annotations

import gzip
import html
import io
import json
import re
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from hcpcs.export.notice import license_notice
from hcpcs.export.registry import ExportFormat
from hcpcs.version import Version
from hcpcs.version_files import Rows

Resource = dict[str, Any]

SYSTEM = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
_OID = "urn:oid:2.16.840.1.113883.6.285"
#: Where ValueSets and ConceptMaps are named: CMS publishes none, and its domain is not ours.
_OURS = "urn:hcpcs"
_FHIR = {"r4": "4.0.1", "r5": "5.0.0"}
_UNITED_STATES = {"coding": [{"system": "urn:iso:std:iso:3166", "code": "US"}]}
#: A concept's properties: type, whether FHIR itself defines it, and what it says.
_PROPERTIES = {
    "status": ("code", True, "active, or retired after the code's last day"),
    "inactive": ("boolean", True, "Whether the code's last day lies before the release's day"),
    "effectiveDate": ("dateTime", True, "The day on which CMS added the code"),
    "deprecationDate": ("dateTime", True, "CMS's termination date: the last day on which the code may be used"),
    "kind": ("code", False, "procedure or modifier"),
    "section": ("code", False, "The section of the code set, by intervals of codes"),
    "betos": ("code", False, "Berenson-Eggers type of service"),
    "coverage": ("code", False, "CMS's coverage code"),
}
_SHORT = {"system": f"{_OURS}:designation", "code": "short", "display": "Short description"}
_COLUMNS = (
    *("release_id", "kind", "code", "short_description", "long_description"),
    *("betos_code", "coverage_code", "added_date", "termination_date"),
)


def write_fhir(version: Version, folder: Path, options: Mapping[str, str]) -> list[str]:
    """Write NPM packages and NDJSON into ``folder``; returns the files' names.

    For R4 and R5 each: a package of the newest release, and one of the CodeSystems of all earlier ones. A concept whose
    text is withheld has neither display nor designation.
    """
    notice = license_notice(version, "HCPCS Level II as FHIR terminology.")
    days = {row["release_id"]: row["effective_date"] for row in version.table("hcpcs_releases").to_pylist()}
    codes = version.table("hcpcs_codes").to_pylist()
    sections = {row["code"]: row["section_id"] for row in codes}
    concepts: dict[str, Rows] = defaultdict(list)
    records = version.table("hcpcs_release_records", list(_COLUMNS))
    for record in records.sort_by([("release_id", "ascending"), ("code", "ascending")]).to_pylist():
        release = record["release_id"]
        concepts[release].append(_concept(record, days[release], sections.get(record["code"])))
    newest = max(concepts)
    systems = [_code_system(release, days[release], found, notice) for release, found in concepts.items()]
    value_sets = [
        _resource("ValueSet", name, title, newest, days[newest], notice) | {"compose": compose}
        for name, title, compose in _value_sets(newest, concepts[newest], version)
    ]
    successors = _successors(version, codes + version.table("hcpcs_modifiers").to_pylist())
    folder.mkdir()
    written = []
    for fhir in _FHIR:
        replaced = _resource("ConceptMap", "replaced-by", "Replaced by", newest, days[newest], notice)
        replaced |= {"group": _groups(fhir, newest, successors)} if successors else {}
        written += [
            _write_package(folder, f"hcpcs.{fhir}", fhir, version, [systems[-1], *value_sets, replaced], notice),
            _write_lines(folder, f"{fhir}/ConceptMap.ndjson", [replaced]),
        ]
        if systems[:-1]:
            written.append(_write_package(folder, f"hcpcs.history.{fhir}", fhir, version, systems[:-1], notice))
    written.append(_write_lines(folder, "CodeSystem.ndjson", systems))
    written.append(_write_lines(folder, "ValueSet.ndjson", value_sets))
    (folder / "NOTICE.txt").write_text(notice, encoding="utf-8")
    return [*sorted(written), "NOTICE.txt"]


def _resource(kind: str, name: str, title: str, release: str, day: date, notice: str) -> Resource:
    """What every resource of ours begins with."""
    words = html.escape(f"HCPCS Level II, {release}: {title}", quote=False)
    return {
        "resourceType": kind,
        "id": f"hcpcs-{name}",
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{words}</div>',
        },
        "url": f"{_OURS}:{kind}:{name}",
        "version": release,
        "name": re.sub(r"[^A-Za-z0-9]", "_", f"HCPCS_{name}"),
        "title": f"HCPCS Level II: {title}",
        "status": "active",
        "experimental": False,
        "date": day.isoformat(),
        "publisher": "hcpcs, from files of the Centers for Medicare & Medicaid Services",
        "description": f"HCPCS Level II, release {release}: {title}. CMS neither made nor approves this resource.",
        "jurisdiction": [_UNITED_STATES],
        "copyright": notice,
    }


def _code_system(release: str, day: date, concepts: Rows, notice: str) -> Resource:
    about = _resource("CodeSystem", release, "codes and modifiers", release, day, notice)
    return about | {
        "url": SYSTEM,
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": _OID}],
        "name": "HCPCSReleaseCodeSets",
        "caseSensitive": True,
        "compositional": False,
        # CMS uses codes again with another meaning.
        "versionNeeded": True,
        "content": "complete",
        "count": len(concepts),
        "property": [
            {
                "code": code,
                **({"uri": f"http://hl7.org/fhir/concept-properties#{code}"} if is_fhirs else {}),
                "description": description,
                "type": kind,
            }
            for code, (kind, is_fhirs, description) in _PROPERTIES.items()
        ],
        "concept": concepts,
    }


def _concept(record: Mapping[str, Any], day: date, section: str | None) -> Resource:
    ended = record["termination_date"] is not None and record["termination_date"] < day
    values = {
        "status": "retired" if ended else "active",
        "inactive": ended,
        "effectiveDate": record["added_date"],
        "deprecationDate": record["termination_date"],
        "kind": record["kind"],
        "section": section if record["kind"] == "procedure" else None,
        "betos": record["betos_code"],
        "coverage": record["coverage_code"],
    }
    long, short = (_text(record[name]) for name in ("long_description", "short_description"))
    found: Resource = {"code": record["code"]}
    if long or short:
        found["display"] = long or short
    if short:
        found["designation"] = [{"language": "en", "use": _SHORT, "value": short}]
    found["property"] = [
        {"code": code, _value_name(code): value.isoformat() if isinstance(value, date) else value}
        for code, value in values.items()
        if value is not None
    ]
    return found


def _text(text: str | None) -> str | None:
    """A text as FHIR's strings are: without what cannot be seen at its ends."""
    return " ".join(text.split()) if text else None


def _value_name(code: str) -> str:
    """The member that has a property's value: ``valueDateTime``."""
    kind = _PROPERTIES[code][0]
    return f"value{kind[0].upper()}{kind[1:]}"


def _value_sets(release: str, concepts: Rows, version: Version) -> Iterable[tuple[str, str, Resource]]:
    """Name, title and content of each: codes are listed, so that a reader without filters expands them."""
    properties = [{p["code"]: next(v for k, v in p.items() if k != "code") for p in c["property"]} for c in concepts]
    coded = list(zip((c["code"] for c in concepts), properties, strict=True))

    def listed(codes: Iterable[str], inactive: bool = True) -> Resource:
        found = [{"code": code} for code in codes]
        return {"inactive": inactive, "include": [{"system": SYSTEM, "version": release, "concept": found}]}

    yield "all", "all codes and modifiers", {"inactive": True, "include": [{"system": SYSTEM, "version": release}]}
    active = [code for code, p in coded if not p["inactive"]]
    yield "active", "codes and modifiers that may be used on the release's day", listed(active, inactive=False)
    yield "modifiers", "modifiers", listed(code for code, p in coded if p["kind"] == "modifier")
    sections = {row["section_id"]: row for row in version.table("code_sections").to_pylist()}
    members: dict[str, list[str]] = defaultdict(list)
    for code, p in coded:
        section = sections.get(p.get("section"))
        while section is not None:
            members[section["section_id"]].append(code)
            section = sections.get(section["parent_section_id"])
    for name, codes in sorted(members.items()):
        yield f"section-{name}", sections[name]["name"], listed(codes)


def _successors(version: Version, codes: Rows) -> dict[str, list[str]]:
    """For each code that has ended, the codes in use at the end of its chain of replacements."""
    ended = {(row["code"], row["episode"]) for row in codes if row["is_current_episode"] and row["status"] != "active"}
    found: dict[str, set[str]] = defaultdict(set)
    for row in version.table("hcpcs_crosswalk").to_pylist():
        follows = row["relation"] == "replaced_by" and not row["is_withdrawn"] and row["chain_outcome"] == "active"
        if follows and (row["code"], row["episode"]) in ended:
            found[row["code"]].update(row["chain_ends"] or [])
    return {code: sorted(goals) for code, goals in sorted(found.items()) if goals}


def _groups(fhir: str, release: str, successors: Mapping[str, list[str]]) -> list[Resource]:
    """The one group of a ConceptMap; a replaced code may be gone from the newest release, so its version is open."""
    how = {"equivalence": "relatedto"} if fhir == "r4" else {"relationship": "related-to"}
    target = {"target": SYSTEM, "targetVersion": release} if fhir == "r4" else {"target": f"{SYSTEM}|{release}"}
    elements = [
        {"code": code, "target": [{"code": goal, **how} for goal in goals]} for code, goals in successors.items()
    ]
    return [{"source": SYSTEM, **target, "element": elements}]


def _write_package(
    folder: Path, name: str, fhir: str, version: Version, resources: Iterable[Resource], notice: str
) -> str:
    """Write an NPM package of FHIR resources; returns the file's name."""
    files = {f"{r['resourceType']}-{r['id']}.json": r for r in resources}
    numbers, dash, restricted = version.id.partition("-")
    number = ".".join(str(int(part)) for part in numbers.split(".")) + dash + restricted
    manifest = {
        "name": name,
        "version": number,
        "description": f"HCPCS Level II, version {version.id} of the hcpcs tables",
        "type": "Conformance",
        "canonical": _OURS,
        "fhirVersions": [_FHIR[fhir]],
        "dependencies": {f"hl7.fhir.{fhir}.core": _FHIR[fhir]},
        "author": "hcpcs",
        "license": "SEE LICENSE IN NOTICE.txt",
        "jurisdiction": "urn:iso:std:iso:3166#US",
    }
    listed = ("resourceType", "id", "url", "version", "content")
    index = [{"filename": file} | {k: r[k] for k in listed if k in r} for file, r in files.items()]
    members: dict[str, Any] = {"package.json": manifest, ".index.json": {"index-version": 1, "files": index}, **files}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        contents = {member: _json_bytes(content) for member, content in members.items()}
        for member, content in (contents | {"NOTICE.txt": notice.encode()}).items():
            entry = tarfile.TarInfo(f"package/{member}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    file = f"{name}-{number}.tgz"
    (folder / file).write_bytes(gzip.compress(packed.getvalue(), mtime=0))
    return file


def _write_lines(folder: Path, name: str, resources: Iterable[Resource]) -> str:
    """Write resources as NDJSON; returns the file's name."""
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"".join(_json_bytes(resource) for resource in resources))
    return name


def _json_bytes(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


FORMAT = ExportFormat(
    name="fhir",
    summary="FHIR R4 and R5 CodeSystems, ValueSets and a ConceptMap, as NPM packages and NDJSON",
    is_folder=True,
    write=write_fhir,
    shows=(
        *(f"hcpcs_release_records.{c}" for c in ("code", "short_description", "long_description", "betos_code")),
        "hcpcs_crosswalk.chain_ends",
        "hcpcs_codes.section_id",
    ),
)
