"""Rules of the descriptors: they say what the version holds, and the standards' own validators accept them."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pyarrow.parquet
from conftest import Version, content_of
from engines import engines_python

from pipeline.versions.descriptors import croissant, datapackage
from schemas.registry import contracts

_VALIDATE_CROISSANT = """
import json, sys
import mlcroissant
dataset = mlcroissant.Dataset(jsonld=sys.argv[1] + "/croissant.json")
issues = dataset.metadata.ctx.issues
about = {"version": dataset.metadata.version, "cite": dataset.metadata.cite_as, "warnings": sorted(issues.warnings)}
code = next(iter(dataset.records("hcpcs_codes")))["hcpcs_codes/code"].decode()
print(json.dumps({"errors": sorted(issues.errors), "sets": len(dataset.metadata.record_sets), "code": code} | about))
"""
_VALIDATE_DATAPACKAGE = """
import json, sys
from frictionless import Package
descriptor = json.load(open(sys.argv[1] + "/datapackage.json"))
errors = [str(e) for e in Package.metadata_validate(descriptor)]
package = Package.from_descriptor(descriptor, basepath=sys.argv[1])
fields = sum(len(r.schema.fields) for r in package.resources)
print(json.dumps({"errors": errors, "resources": len(package.resources), "fields": fields}))
"""


def descriptor(version: Version, name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((version.folder / name).read_bytes())
    return read


def validated(script: str, version: Version, module: str) -> dict[str, Any]:
    command = [engines_python(module), "-c", script, str(version.folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def test_both_descriptors_are_content_and_name_every_table_as_it_lies_there(sample: Version) -> None:
    files = sample.content["files"]
    assert {"datapackage.json", "croissant.json"} <= files.keys()
    tables = {n: e for n, e in files.items() if n.endswith(".parquet")}
    package = descriptor(sample, "datapackage.json")
    assert {r["path"]: (r["bytes"], r["hash"]) for r in package["resources"]} == {
        name: (entry["bytes"], f"sha256:{entry['sha256']}") for name, entry in tables.items()
    }
    distribution = descriptor(sample, "croissant.json")["distribution"]
    assert {d["contentUrl"]: d["sha256"] for d in distribution} == {n: e["sha256"] for n, e in tables.items()}


def test_the_columns_are_those_of_the_files(sample: Version) -> None:
    package, jsonld = descriptor(sample, "datapackage.json"), descriptor(sample, "croissant.json")
    fields = {s["name"]: [f["name"] for f in s["field"]] for s in jsonld["recordSet"]}
    for resource in package["resources"]:
        schema = pyarrow.parquet.read_schema(sample.folder / resource["path"])
        assert [f["name"] for f in resource["schema"]["fields"]] == schema.names == fields[resource["name"]]
        required = [f["name"] for f in resource["schema"]["fields"] if "constraints" in f]
        assert required == [f.name for f in schema if not f.nullable]
        lists = [f["name"] for f in resource["schema"]["fields"] if f["type"] == "array"]
        assert lists == [f.name for f in schema if str(f.type).startswith("list")]


def test_licenses_lie_beside_and_sources_are_the_standing_releases(sample: Version) -> None:
    package = descriptor(sample, "datapackage.json")
    for license_ in [*package["licenses"], *(x for r in package["resources"] for x in r["licenses"])]:
        assert license_["path"] in sample.content["files"]
    current = [r for r in sample.content["releases"] if r["is_current"]]
    assert len(package["sources"]) == len(current)
    derived = descriptor(sample, "croissant.json")["prov:wasDerivedFrom"]
    assert {d["sha256"] for d in derived} == {m["sha256"] for r in current for m in r["members"]}


def test_descriptors_are_pure_functions_of_the_content(sample: Version) -> None:
    licenses = sample.open("licenses")
    for name, make in (("datapackage.json", datapackage), ("croissant.json", croissant)):
        content = content_of(sample.content)
        assert make(content, licenses) == make(content, licenses) == descriptor(sample, name)
        text = (sample.folder / name).read_text("utf-8")
        assert sample.id not in text
        assert str(sample.outputs.folder) not in text
        assert sample.manifest["build"]["created_at"][:16] not in text


def test_the_sample_says_that_it_is_made_up(sample: Version) -> None:
    assert "made-up" in descriptor(sample, "datapackage.json")["title"].lower()
    assert "made-up" in descriptor(sample, "croissant.json")["description"].lower()


def test_croissants_own_validator_accepts_it_and_reads_a_table_by_it(sample: Version) -> None:
    report = validated(_VALIDATE_CROISSANT, sample, "mlcroissant")
    about = {name: report.pop(name) for name in ("version", "cite", "warnings")}
    assert report == {"errors": [], "sets": len(contracts()), "code": sample.open("hcpcs_codes")["code"][0]}
    assert about["warnings"] == []
    # The newest release, and a hash that other rows change.
    assert re.fullmatch(r"2025\.10\.0\+[0-9a-f]{12}", about["version"])
    assert about["cite"].startswith("@misc{hcpcs, author = {{Made up}}") and about["version"] in about["cite"]


def test_frictionless_own_validator_accepts_it(sample: Version) -> None:
    report = validated(_VALIDATE_DATAPACKAGE, sample, "frictionless")
    columns = sum(len(c.columns) for c in contracts().values())
    assert report == {"errors": [], "resources": len(contracts()), "fields": columns}
