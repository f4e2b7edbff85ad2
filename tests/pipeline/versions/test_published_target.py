"""What is published is used where it is, as others use it: in a folder, on S3, on a plain web server.

The version is published once for all tests. Readers that the project does without are in ``.venv-engines``.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import duckdb
import obstore.fsspec
import polars as pl
import pyarrow.parquet
import pytest
from conftest import REPOSITORY, Said, Version
from engines import engines_python
from servers import s3_server, served

Hcpcs = Callable[..., Said]
PLACES = ["folder", "s3", "web"]


@dataclass(frozen=True)
class Target:
    """A published target: what it is, the URL or path by which it was published or is served, and a reader of it."""

    kind: str
    url: str
    read: Callable[[str], bytes]
    endpoint: str = ""

    def table(self, name: str) -> str:
        """Where the newest version's table is."""
        return f"{self.url}/latest/open/{name}.parquet"


@pytest.fixture(scope="module")
def targets(sample: Version, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Target]]:
    """The sample, published by the command to a folder and to S3; the folder is served by a plain web server too."""
    folder = tmp_path_factory.mktemp("published") / "target"
    with s3_server() as server, served(folder) as web:
        for target in (str(folder), f"{server.bucket}/hcpcs"):
            command = [sys.executable, "-m", "hcpcs.cli.main", "publish", target]
            subprocess.run([*command, "--outputs", str(sample.outputs.folder)], check=True, cwd=REPOSITORY)

        def from_web(path: str) -> bytes:
            with urllib.request.urlopen(f"{web}/{path}") as answer:
                data: bytes = answer.read()
                return data

        yield {
            "folder": Target("folder", str(folder), lambda path: (folder / path).read_bytes()),
            "s3": Target("s3", f"{server.bucket}/hcpcs", lambda path: server.read(f"hcpcs/{path}"), server.endpoint),
            "web": Target("web", web, from_web),
        }


@pytest.fixture(params=PLACES)
def target(request: pytest.FixtureRequest, targets: dict[str, Target]) -> Target:
    return targets[request.param]


@pytest.fixture(scope="module")
def claims(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("claims") / "claims.parquet"
    lines = {"hcpcs_code": ["J0570", "J1100", "99213", "W0001"], "service_date": ["2018-06-30", "2025-01-02"] * 2}
    pl.DataFrame(lines).with_columns(pl.col("service_date").str.to_date()).write_parquet(path)
    return path


@pytest.fixture(scope="module")
def annotated(claims: Path, sample: Version, tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """The claims annotated with the version where it was made."""
    from hcpcs.annotate.engine import annotate

    out = tmp_path_factory.mktemp("annotated") / "out.parquet"
    annotate(claims, out, version=sample.folder, code="hcpcs_code", date="service_date")
    return pl.read_parquet(out)


def test_verify_finds_no_problem(target: Target, hcpcs: Hcpcs, sample: Version) -> None:
    said = hcpcs("verify", target.url, "--json")
    report = json.loads(said.out)
    assert (said.status, report["problems"], report["version"]) == (0, [], sample.id)


def test_annotate_answers_as_with_the_version_where_it_was_made(
    target: Target, hcpcs: Hcpcs, claims: Path, annotated: pl.DataFrame, tmp_path: Path
) -> None:
    wanted = ("--code", "hcpcs_code", "--date", "service_date", "--version", target.url)
    said = hcpcs("annotate", claims, tmp_path / "out.parquet", *wanted, "--outputs", tmp_path)
    assert said.status == 0, said.err
    assert pl.read_parquet(tmp_path / "out.parquet").equals(annotated)


@pytest.fixture
def database(target: Target) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB that reads the place: its own extension for that must be downloaded, so by way of fsspec."""
    with duckdb.connect() as connection:
        if target.kind != "folder":
            protocol = target.url.partition("://")[0]
            options = {"client_options": {"allow_http": True}} if target.kind == "web" else {}
            connection.register_filesystem(obstore.fsspec.FsspecStore(protocol, **options))
        yield connection


def test_the_printed_sql_answers_the_same(
    target: Target, database: duckdb.DuckDBPyConnection, hcpcs: Hcpcs, claims: Path, annotated: pl.DataFrame
) -> None:
    said = hcpcs("sql", "annotate", "--version-folder", f"{target.url}/latest", "--claims", "claims")
    assert said.status == 0
    database.execute("create table claims as from read_parquet(?)", [str(claims)])
    answer = database.sql(said.out).pl()
    columns = ["hcpcs_code", "code_status_on_date", "short_description", "episode"]
    assert answer.select(columns).sort("hcpcs_code").rows() == annotated.select(columns).sort("hcpcs_code").rows()


def test_duckdb_and_polars_and_pyarrow_read_a_table(
    target: Target, database: duckdb.DuckDBPyConnection, sample: Version
) -> None:
    expected = sample.open("hcpcs_codes")
    path = target.table("hcpcs_codes")
    assert database.execute("select count(*), min(code) from read_parquet(?)", [path]).fetchone() == (
        expected.height,
        expected["code"].min(),
    )
    options = {"aws_endpoint_url": target.endpoint, "aws_allow_http": "true"} if target.kind == "s3" else None
    assert pl.scan_parquet(path, storage_options=options).collect().equals(expected)
    named = json.loads(target.read("latest.json"))["tables"]["hcpcs_codes"]
    table = pyarrow.parquet.read_table(pyarrow.BufferReader(target.read(named)))
    assert table.num_rows == expected.height


def test_every_file_that_dcat_and_croissant_name_is_there_with_its_hash(target: Target) -> None:
    for base in ("latest/", json.loads(target.read("latest.json"))["path"] + "/"):
        nodes = json.loads(target.read(f"{base}dcat.jsonld"))["@graph"]
        distributions = [d for n in nodes for d in _listed(n.get("dcat:distribution")) if "dcat:downloadURL" in d]
        parquet = [d for d in distributions if d["dcat:mediaType"].endswith("parquet")]
        assert len(parquet) > 10
        for one in parquet:
            found = target.read(urljoin(base, one["dcat:downloadURL"]))
            assert len(found) == one["dcat:byteSize"]
            assert hashlib.sha256(found).hexdigest() == one["spdx:checksum"]["spdx:checksumValue"]
        croissant = json.loads(target.read(f"{base}croissant.json"))
        for file in croissant["distribution"]:
            found = target.read(urljoin(base, file["contentUrl"]))
            assert hashlib.sha256(found).hexdigest() == file["sha256"]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


_STREAM = """
import json, sys
import mlcroissant
dataset = mlcroissant.Dataset(jsonld=sys.argv[1], mapping=json.loads(sys.argv[2]))
records = list(dataset.records("ambulance_locations"))
print(json.dumps(sorted(r["ambulance_locations/letter"].decode() for r in records)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", PLACES)
def test_mlcroissant_streams_a_record_set_from_it(
    targets: dict[str, Target], kind: str, sample: Version, tmp_path: Path
) -> None:
    python = engines_python("mlcroissant")
    base = targets[kind].url
    if kind == "s3":  # it reads a bucket by HTTP, which must be public then
        base = base.replace("s3://", f"{targets[kind].endpoint}/")
        allowed = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]}).encode()
        headers = {"Content-Type": "application/json"}
        policy_url = f"{targets[kind].endpoint}/bucket?policy"
        urllib.request.urlopen(urllib.request.Request(policy_url, data=policy, headers=headers, method="PUT"))
    url, mapping = f"{base}/latest/croissant.json", {}
    if kind != "folder":  # it resolves no relative URL against that of the description: the file is fetched for it
        name = "open/ambulance_locations.parquet"
        (tmp_path / "fetched.parquet").write_bytes(targets[kind].read(f"latest/{name}"))
        mapping[name] = str(tmp_path / "fetched.parquet")
    command = [python, "-c", _STREAM, url, json.dumps(mapping)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == sorted(sample.open("ambulance_locations")["letter"])


@pytest.mark.slow
def test_dbt_builds_the_model_of_the_page_on_it(targets: dict[str, Target], tmp_path: Path, sample: Version) -> None:
    """The source and the model of docs/consume-more.md, as they are there, on the target's folder."""
    python = engines_python("dbt.adapters.duckdb")
    page = (REPOSITORY / "docs" / "consume-more.md").read_text("utf-8").partition("\n## dbt\n")[2]
    source, model = (page.partition(f"```{language}\n")[2].partition("```")[0] for language in ("yaml", "sql"))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "sources.yml").write_text(f"version: 2\n{source}")
    (tmp_path / "models" / "annotated.sql").write_text(model)
    (tmp_path / "models" / "claims.sql").write_text(
        "select 'J0570' as code, date '2018-06-30' as service_date union all select 'J0570', date '2014-06-30'"
    )
    (tmp_path / "dbt_project.yml").write_text("name: test\nversion: '1.0.0'\nprofile: test\n")
    profile = {"test": {"target": "dev", "outputs": {"dev": {"type": "duckdb", "path": "test.duckdb"}}}}
    (tmp_path / "profiles.yml").write_text(json.dumps(profile))
    done = subprocess.run(
        [python.with_name("dbt"), "run", "--profiles-dir", "."],
        cwd=tmp_path,
        env=os.environ | {"HCPCS_OUTPUTS": targets["folder"].url, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    ask = (
        "import duckdb\n"
        "found = duckdb.connect('test.duckdb').sql('select service_date::text, episode from annotated order by 1')\n"
        "print(found.fetchall())"
    )
    answer = subprocess.run([python, "-c", ask], cwd=tmp_path, capture_output=True, text=True, check=True)
    spans = sample.open("hcpcs_history").filter(code="J0570", kind="procedure")
    valid = [(r["episode"], str(r["valid_from"]), str(r["valid_to"] or "9")) for r in spans.to_dicts()]
    days = ("2014-06-30", "2018-06-30")
    expected = [(day, next((e for e, begin, end in valid if begin <= day <= end), None)) for day in days]
    assert answer.stdout.strip() == str(expected)


def test_only_publish_writes_to_a_target(targets: dict[str, Target], hcpcs: Hcpcs) -> None:
    folder = Path(targets["folder"].url)
    before = (folder / "latest.json").read_bytes()
    for command in (
        ("refresh", "--sample"),
        ("releases", "exclude", "2018-01", "--reason", "r"),
        ("prune", "--keep", "1"),
    ):
        said = hcpcs(*command, "--outputs", folder)
        assert (said.status, "is a published target: only `hcpcs publish` writes there" in said.err) == (1, True), said
    said = hcpcs("verify", "--archive", "--outputs", folder)
    assert (said.status, "has no archive" in said.err) == (1, True), said
    assert (folder / "latest.json").read_bytes() == before
    assert not (folder / "archive").exists()


def test_an_empty_target_is_not_the_current_folder(
    hcpcs: Hcpcs, sample: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = hcpcs("publish", "", "--outputs", sample.outputs.folder)
    assert (said.status, "TARGET is empty" in said.err, list(tmp_path.iterdir())) == (2, True, [])
