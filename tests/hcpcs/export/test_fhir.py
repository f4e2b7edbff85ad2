"""Rules of the FHIR export: valid for validators, whole for package readers, one code system version a release."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import REPOSITORY, Version
from engines import engines_python
from node import node

SYSTEM = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
VERSIONS = {"r4": "4.0.1", "r5": "5.0.0"}
VALIDATE = """
import importlib, json, sys, fhirkit
problems = []
for package, path in zip(sys.argv[1::2], sys.argv[2::2]):
    for line in open(path, encoding="utf-8"):
        resource = json.loads(line)
        kind, name = resource["resourceType"], resource["id"]
        if package == "R4B.":
            problems += [f"{name}: {issue}" for issue in fhirkit.validate(resource)]
        model = getattr(importlib.import_module(f"fhir.resources.{package}{kind.lower()}"), kind)
        try:
            model.model_validate_json(line)
        except ValueError as error:
            problems.append(f"{name}: {error}")
print(json.dumps(problems))
"""


@pytest.fixture(scope="module")
def folder(sample: Version, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("fhir") / "export"
    command = [REPOSITORY / ".venv" / "bin" / "hcpcs", "export", "--fhir", target, "--version", sample.folder, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(json.loads(done.stdout)["written"]) == {
        p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()
    }
    return target


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def members(path: Path) -> dict[str, Any]:
    with tarfile.open(path, "r:gz") as archive:
        files = {m.name: archive.extractfile(m) for m in archive}
        contents = {name: file.read().decode() for name, file in files.items() if file is not None}
    return {name: json.loads(text) if name.endswith(".json") else text for name, text in contents.items()}


def number(sample: Version) -> str:
    """The version as npm has it: no part begins with a zero."""
    return ".".join(str(int(part)) for part in sample.id.split("."))


def test_each_release_is_a_version_of_the_code_system_with_every_code(sample: Version, folder: Path) -> None:
    systems = lines(folder / "CodeSystem.ndjson")
    records = sample.open("hcpcs_release_records")
    assert [s["version"] for s in systems] == sorted(records["release_id"].unique())
    for system in systems:
        assert (system["url"], system["content"]) == (SYSTEM, "complete")
        assert system["identifier"][0]["value"] == "urn:oid:2.16.840.1.113883.6.285"
        stated = records.filter(release_id=system["version"]).sort("code")
        assert [c["code"] for c in system["concept"]] == stated["code"].to_list()
        assert system["count"] == stated.height
        for concept, row in zip(system["concept"], stated.to_dicts(), strict=True):
            is_open = row["redistribution"] == "open"
            assert concept.get("display") == (" ".join(row["long_description"].split()) if is_open else None)
            assert [d["value"] for d in concept.get("designation", ())] == [row["short_description"]] * is_open
    assert {c["code"] for s in systems for c in s["concept"] if "display" not in c} == {f"P{n}" for n in range(1, 7)}
    for notice in sample.open("licenses")["notice"]:
        assert all(notice in resource["copyright"] for resource in systems)


def test_a_concepts_properties_are_those_of_its_day(sample: Version, folder: Path) -> None:
    of = {
        (system["version"], concept["code"]): {
            p["code"]: value for p in concept["property"] for key, value in p.items() if key != "code"
        }
        for system in lines(folder / "CodeSystem.ndjson")
        for concept in system["concept"]
    }
    assert of["2025-10", "J0570"]["status"] == "active"
    row = sample.open("hcpcs_release_records").filter(release_id="2025-10", code="A4466").row(0, named=True)
    assert of["2025-10", "A4466"] == {
        "status": "retired",
        "inactive": True,
        "effectiveDate": row["added_date"].isoformat(),
        "deprecationDate": row["termination_date"].isoformat(),
        "kind": "procedure",
        "section": "hcpcs-a-supplies",
        "betos": row["betos_code"],
        "coverage": row["coverage_code"],
    }
    assert of["2016-01", "A4466"]["inactive"] is False
    assert of["2025-10", "QM"]["kind"] == "modifier"


def test_value_sets_list_the_newest_releases_codes(sample: Version, folder: Path) -> None:
    found = {}
    for value_set in lines(folder / "ValueSet.ndjson"):
        (include,) = value_set["compose"]["include"]
        assert (include["system"], include["version"], value_set["version"]) == (SYSTEM, "2025-10", "2025-10")
        found[value_set["url"]] = {c["code"] for c in include.get("concept", ())}
    history, day = sample.open("hcpcs_history"), sample.open("hcpcs_releases")["effective_date"].max()
    in_effect = history.filter(pl.col("valid_from") <= day, pl.col("valid_to").is_null() | (pl.col("valid_to") >= day))
    newest = sample.open("hcpcs_release_records").filter(release_id="2025-10")
    assert found["urn:hcpcs:ValueSet:all"] == set()  # the whole system
    assert found["urn:hcpcs:ValueSet:active"] == set(in_effect["code"])
    assert found["urn:hcpcs:ValueSet:modifiers"] == set(newest.filter(kind="modifier")["code"])
    # A section has what the sections within it have.
    of_a = {code for code in newest.filter(kind="procedure")["code"] if code.startswith("A")}
    assert found["urn:hcpcs:ValueSet:section-hcpcs-a"] == of_a
    assert found["urn:hcpcs:ValueSet:section-hcpcs-a-transport"] == {c for c in of_a if c < "A1000"} != set()


@pytest.mark.parametrize("fhir", VERSIONS)
def test_the_concept_map_leads_from_what_has_ended_to_what_is_in_use(folder: Path, fhir: str) -> None:
    (concept_map,) = lines(folder / fhir / "ConceptMap.ndjson")
    (group,) = concept_map["group"]
    mapped = {e["code"]: [t["code"] for t in e["target"]] for e in group["element"]}
    assert mapped["A4466"] == ["A4467"]
    assert mapped["C9448"] == ["J8655"], "the end of the chain"
    # The first meaning of Q2040 was replaced, its second was not; AM only refers to another; C8904 went to CPT.
    assert not {"Q2040", "AM", "C8904", "J0570"} & set(mapped)


def test_the_validators_report_no_issue(folder: Path) -> None:
    python = engines_python("fhirkit", "fhir")
    shared = [folder / "CodeSystem.ndjson", folder / "ValueSet.ndjson"]
    pairs = [("R4B.", path) for path in (*shared, folder / "r4" / "ConceptMap.ndjson")]
    pairs += [("", path) for path in (*shared, folder / "r5" / "ConceptMap.ndjson")]
    command = [python, "-c", VALIDATE, *(part for pair in pairs for part in pair)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize(("fhir", "version"), VERSIONS.items())
def test_a_package_lists_its_files_and_has_the_ndjsons_resources(
    sample: Version, folder: Path, fhir: str, version: str
) -> None:
    newest, earlier = (members(folder / f"{name}.{fhir}-{number(sample)}.tgz") for name in ("hcpcs", "hcpcs.history"))
    ndjson = [*lines(folder / "ValueSet.ndjson"), *lines(folder / fhir / "ConceptMap.ndjson")]
    *before, last = lines(folder / "CodeSystem.ndjson")
    for package, name, resources in (
        (newest, f"hcpcs.{fhir}", [last, *ndjson]),
        (earlier, f"hcpcs.history.{fhir}", before),
    ):
        manifest = package["package/package.json"]
        assert (manifest["name"], manifest["version"]) == (name, number(sample))
        assert manifest["fhirVersions"] == [version]
        assert manifest["dependencies"] == {f"hl7.fhir.{fhir}.core": version}
        index = package["package/.index.json"]["files"]
        packed = {f["filename"]: package[f"package/{f['filename']}"] for f in index}
        assert set(package) == {f"package/{n}" for n in (*packed, "package.json", ".index.json", "NOTICE.txt")}
        assert [(f["resourceType"], f["id"], f["url"], f["version"]) for f in index] == [
            (r["resourceType"], r["id"], r["url"], r["version"]) for r in packed.values()
        ]
        assert sorted(map(json.dumps, packed.values())) == sorted(map(json.dumps, resources))


@pytest.mark.parametrize(("fhir", "version"), VERSIONS.items())
def test_fhir_terminology_runtime_expands_the_package_offline(
    sample: Version, folder: Path, tmp_path: Path, fhir: str, version: str
) -> None:
    package = folder / f"hcpcs.{fhir}-{number(sample)}.tgz"

    def expand(value_set: str, *codes: str) -> dict[str, Any]:
        url = f"urn:hcpcs:ValueSet:{value_set}"
        said = node("expand.mjs", tmp_path, package, f"hcpcs.{fhir}", number(sample), version, url, *codes)
        return json.loads(said)

    newest = sample.open("hcpcs_release_records").filter(release_id="2025-10")
    everything = expand("all", "J0570", "99213")
    assert everything["total"] == len(everything["contains"]) == newest.height
    assert {c["code"] for c in everything["contains"]} == set(newest["code"])
    assert everything["members"]["J0570"]["status"] == "member"
    assert everything["members"]["99213"] == {"status": "not-member"}
    assert expand("active", "A4466")["members"]["A4466"] == {"status": "not-member"}


@pytest.mark.parametrize("element", ["display", "designation"])
def test_the_text_of_a_cpt_modifier_in_a_package_is_refused(tmp_path: Path, element: str) -> None:
    from hcpcs.export.registry import formats
    from pipeline.license_gate.report import LicenseLeak
    from pipeline.versions.export_gate import check_export

    for text in (None, "Made-up words"):
        concept: dict[str, Any] = {"code": "P1"}
        if text:
            concept |= {"display": text} if element == "display" else {"designation": [{"value": text}]}
        content = json.dumps({"resourceType": "CodeSystem", "concept": [concept]}).encode()
        with tarfile.open(tmp_path / "hcpcs.r4-1.0.0.tgz", "w:gz") as archive:
            entry = tarfile.TarInfo("package/CodeSystem-hcpcs.json")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        if text:
            with pytest.raises(LicenseLeak, match="Made-up words"):
                check_export(tmp_path, formats()["fhir"])
        else:
            check_export(tmp_path, formats()["fhir"])
