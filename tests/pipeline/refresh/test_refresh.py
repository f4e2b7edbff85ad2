"""A refresh from end to end: the same in, the same out; nothing new, nothing done; and nothing half done."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import random
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dagster as dg
import polars as pl
import pyarrow.parquet
import pytest
from conftest import Version, content_of, manifest_of, persistent_instance, published
from filelock import FileLock
from made_up import Posting, posting, record
from release_writer import processing_notes
from sample_writer import sample_records

from hcpcs.paths import Outputs
from hcpcs.version import latest_version
from pipeline.refresh.refresh import refresh
from pipeline.versions import publish as publishing
from pipeline.versions import store as publish_state
from pipeline.versions.store import all_versions
from pipeline.versions.writer import BeingWritten
from schemas.registry import contracts
from sources.curated.license_policy import load_license_policy
from sources.release.inspect import open_archive

RECORDS = (record("A1"), record("A0080"), record("V5364"))
OCTOBER = posting("2025-10", *RECORDS, form="workbook", version="_v3")
OCTOBER_AGAIN = posting(
    "2025-10",
    *RECORDS[:2],
    record("V5364", long_description="Sample: the thing that V5364 stands for now"),
    form="workbook",
    version="_v4",
)
JANUARY = posting("2025-01", *RECORDS)


def dagster_of(version: Version) -> dg.DagsterInstance:
    """The persistent instance that the sample was made with."""
    return persistent_instance(str(version.outputs.dagster_home))


# --- the published sample --------------------------------------------------------------------------------------------


def test_the_sample_is_published_with_every_contracts_table(sample: Version) -> None:
    assert {p.stem for p in (sample.folder / "open").glob("*.parquet")} == set(contracts())
    assert sample.refreshed.is_new
    assert sample.refreshed.read == (
        "2012-01",
        "2016-01",
        "2017-01",
        "2019-01",
        "2020-04",
        "2023-01",
        "2025-01",
        "2025-10",
    )


def test_what_is_made_from_the_sample_is_marked_as_a_sample(sample: Version) -> None:
    assert sample.content["is_sample"] is True
    assert sample.open("hcpcs_releases")["is_sample"].all()
    for path in (sample.folder / "open").glob("*.parquet"):
        metadata = pyarrow.parquet.read_schema(path).metadata
        assert metadata[b"hcpcs.is_sample"] == b"true"


def test_records_of_the_sample_are_those_that_were_made_up(sample: Version) -> None:
    stated = sample_records()
    stated["2025-10"] = stated.pop("2025-10/2")  # the second posting stands
    published_records = sample.open("hcpcs_release_records").filter(redistribution="open")
    assert set(published_records["release_id"]) == set(stated)
    withheld = sample.open("hcpcs_release_records").filter(pl.col("redistribution") != "open")
    assert set(withheld["code"]) == {"P1", "P2", "P3", "P4", "P5", "P6"}
    for release_id, records in stated.items():
        rows = {r["code"]: r for r in published_records.filter(release_id=release_id).iter_rows(named=True)}
        expected = {r.code: r for r in records if r.code not in set(withheld["code"])}
        assert rows.keys() == expected.keys()
        for code, one in expected.items():
            for field in ("added_date", "termination_date", "action_code", "coverage_code", "betos_code"):
                assert rows[code][field] == getattr(one, field), (release_id, code, field)


def test_dagsters_pages_show_the_run_its_releases_row_counts_and_checks(
    sample: Version,
) -> None:
    with dagster_of(sample) as instance:
        (run,) = instance.get_runs()
        assert (run.job_name, run.status) == ("refresh", dg.DagsterRunStatus.SUCCESS)
        assert sorted(instance.get_dynamic_partitions("releases")) == list(sample.refreshed.read)
        staged = instance.get_materialized_partitions(dg.AssetKey("staged_records"))
        assert staged == set(sample.refreshed.read)
        event = instance.get_latest_materialization_event(dg.AssetKey("hcpcs_codes"))
        assert event is not None and event.asset_materialization is not None
        rows = event.asset_materialization.metadata["dagster/row_count"].value
        assert rows == sample.open("hcpcs_codes").height
    settings = (sample.outputs.dagster_home / "dagster.yaml").read_text()
    assert "telemetry: {enabled: false}" in settings and "nux: {enabled: false}" in settings


def test_the_archive_holds_the_bytes_that_were_offered(sample: Version, sample_folder: Path) -> None:
    offered = sorted(p.read_bytes() for p in sample_folder.rglob("*.zip"))
    kept = sorted(p.read_bytes() for p in (sample.outputs.archive / "zips").glob("*.zip"))
    assert kept == offered
    assert len(open_archive(sample.outputs.archive).index().zips) == len(offered)


# --- the same in, the same out ---------------------------------------------------------------------------------------


def test_the_same_inputs_in_any_order_of_arrival_give_the_same_bytes(
    sample: Version, sample_folder: Path, tmp_path: Path
) -> None:
    """The newest come first, then an older posting, older releases and side files, from and into other folders."""
    outputs = Outputs(tmp_path / "elsewhere" / "outputs")
    zips = sorted(sample_folder.rglob("*.zip"), reverse=True)
    is_late = {p: p.name.startswith("october-2025-alpha-numeric-hcpcs-file.") or "NOC" in p.name for p in zips}
    is_late |= {p: True for p in zips if p.parent.name < "2019-01" or "Corrections" in p.name}
    assert sum(is_late.values()) == 7 and len(zips) == 12
    for late in (False, True):
        offered = tmp_path / f"late-{late}"
        for path in (p for p in zips if is_late[p] == late):
            target = offered / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
        refresh(outputs, offered=offered)
    version = latest_version(outputs)
    assert version is not None
    content = manifest_of(outputs.version(version))["content"]
    assert content == sample.content
    for name in content["files"]:
        assert (outputs.version(version) / name).read_bytes() == (sample.folder / name).read_bytes()


@pytest.mark.slow
def test_releases_added_one_by_one_in_random_order_give_the_same_bytes_as_all_at_once(
    sample: Version, sample_folder: Path, tmp_path: Path
) -> None:
    outputs, releases = Outputs(tmp_path / "outputs"), sorted(p for p in sample_folder.iterdir() if p.is_dir())
    seed = random.randrange(10_000)
    random.Random(seed).shuffle(releases)
    for number, offered in enumerate((releases[:4], *([r] for r in releases[4:]))):
        for release in offered:
            shutil.copytree(release, tmp_path / str(number) / release.name)
        refresh(outputs, offered=tmp_path / str(number), accept_losses=True)  # against other neighbors
    made, whole = (content_of(manifest_of(f)["content"]).files for f in (outputs.latest_link, sample.folder))
    assert made == whole, f"in the order of seed {seed}"


def test_a_second_refresh_says_that_nothing_is_new_and_touches_nothing(
    own_sample: Outputs, sample: Version, sample_folder: Path
) -> None:
    before = {p: p.stat().st_mtime_ns for p in own_sample.versions.rglob("*")}
    done = refresh(own_sample, offered=sample_folder)
    assert (done.is_new, done.new_zips, done.read) == (False, 0, ())
    assert done.published is not None and done.published.version == sample.id
    assert done.published.rows == sample.refreshed.published.rows  # type: ignore[union-attr]
    assert {p: p.stat().st_mtime_ns for p in own_sample.versions.rglob("*")} == before


def test_a_rebuild_of_the_same_content_publishes_nothing(own_sample: Outputs, sample: Version) -> None:
    """New code or a lost state makes a run work again; what comes out is compared by content alone."""
    before = published(own_sample)
    own_sample.state.unlink()
    done = refresh(own_sample)
    assert (done.is_new, len(done.read)) == (False, 8)
    assert all_versions(own_sample) == [sample.id]
    assert published(own_sample) == before


# --- what comes later ------------------------------------------------------------------------------------------------


def test_releases_and_postings_that_come_late_make_versions_of_the_newest_release(
    build: Callable[..., Version],
) -> None:
    first = build(OCTOBER)
    assert first.id == "2025.10.1"
    assert first.open("hcpcs_releases")["form"].to_list() == ["workbook"]

    # An older release that comes late: the next version of the same newest release.
    second = build(JANUARY)
    assert second.id == "2025.10.2"
    assert second.refreshed.read == ("2025-01",)
    assert set(second.open("hcpcs_release_records")["release_id"]) == {"2025-01", "2025-10"}

    # A side file that comes later: a new version, and no revision.
    notes = processing_notes({"0001": "Sample: a note that came later."})
    third = build(replace(JANUARY, name="notes.zip", members={"proc_notes_JAN2025.txt": notes}))
    assert third.id == "2025.10.3"
    assert third.open("hcpcs_releases").select("release_id", "revision").rows() == [("2025-01", 1), ("2025-10", 1)]
    assert third.open("hcpcs_notes")["release_id"].to_list() == ["2025-01"]

    # The quarter posted again with another text: a revision that stands in the tables; the old one is kept.
    fourth = build(OCTOBER_AGAIN)
    assert fourth.id == "2025.10.4"
    assert fourth.open("hcpcs_releases").select("release_id", "revision", "is_current").rows() == [
        ("2025-01", 1, True),
        ("2025-10", 1, False),
        ("2025-10", 2, True),
    ]
    now = fourth.open("hcpcs_release_records").filter(release_id="2025-10", code="V5364")
    assert now["long_description"].to_list() == ["Sample: the thing that V5364 stands for now"]

    # Older versions stay as they were.
    assert all_versions(fourth.outputs) == ["2025.10.1", "2025.10.2", "2025.10.3", "2025.10.4"]
    assert first.open("hcpcs_release_records").height == 3
    assert fourth.manifest["build"]["predecessor"] == "2025.10.3"

    # The same members all at once, elsewhere: the same content.
    at_once = build(
        JANUARY,
        replace(JANUARY, name="notes.zip", members={"proc_notes_JAN2025.txt": notes}),
        OCTOBER_AGAIN,
        OCTOBER,
        into="at-once",
    )
    assert at_once.id == "2025.10.1"
    assert at_once.content == fourth.content


def test_a_table_that_no_release_is_in_is_made_again_only_if_its_bytes_or_the_code_changed(
    build: Callable[..., Version],
) -> None:
    first = build(JANUARY)
    outputs, whole = first.outputs, first.open("code_systems")
    files = [outputs.work / f"{table}.parquet" for table in json.loads(outputs.state.read_bytes())["reference"]]
    assert outputs.work / "code_systems.parquet" in files and outputs.work / "hcpcs_codes.parquet" not in files

    def written() -> list[int]:
        return [file.stat().st_mtime_ns for file in files]

    before = written()
    assert build(OCTOBER).open("code_systems").equals(whole)
    assert written() == before

    # One whose bytes changed: it keeps the contract, and is not what this code makes.
    pl.read_parquet(outputs.work / "code_systems.parquet").head(1).write_parquet(outputs.work / "code_systems.parquet")
    assert build(OCTOBER_AGAIN).open("code_systems").equals(whole)
    before = written()

    # Other code than made them.
    state = json.loads(outputs.state.read_bytes())
    outputs.state.write_text(json.dumps(state | {"reference": dict.fromkeys(state["reference"], "of other code")}))
    notes = {"proc_notes_JAN2025.txt": processing_notes({"0001": "Sample: a note that came later."})}
    assert build(replace(JANUARY, name="notes.zip", members=notes)).refreshed.is_new
    assert all(now > then for now, then in zip(written(), before, strict=True))


def test_a_zip_packed_anew_with_the_same_members_publishes_nothing(build: Callable[..., Version]) -> None:
    first = build(JANUARY)
    packed_anew: Posting = replace(JANUARY, name="again.zip", date=dt.date(2024, 12, 17))
    again = build(packed_anew)
    assert (again.id, again.refreshed.is_new, again.refreshed.new_zips) == (first.id, False, 1)
    assert len(open_archive(again.outputs.archive).index().zips) == 2


# --- whole or not at all ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "name"),
    [
        pytest.param(publishing, "write_published_table", id="while tables are written", marks=pytest.mark.slow),
        pytest.param(publishing, "_next_version", id="before the version has an id", marks=pytest.mark.slow),
        pytest.param(publishing, "set_latest", id="before latest.json"),
    ],
)
def test_a_run_that_is_killed_leaves_the_latest_version_and_no_half_one(
    own_sample: Outputs, sample: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: object, name: str
) -> None:
    class Killed(BaseException):
        """What no handler of errors expects."""

    def killed(*_: object, **__: object) -> None:
        raise Killed

    tables = {p.stem: pl.scan_parquet(p) for p in (sample.folder / "open").glob("*.parquet")}
    tables["hcpcs_codes"] = tables["hcpcs_codes"].head(5)  # content that is new
    before = published(own_sample)
    monkeypatch.setattr(place, name, killed)
    with pytest.raises(Killed):
        _publish(own_sample, sample, tables)
    assert latest_version(own_sample) == sample.id
    assert own_sample.latest_link.resolve() == own_sample.version(sample.id)
    assert not list(own_sample.versions.glob(".partial-*"))
    after = published(own_sample)
    assert {n: b for n, b in after.items() if n in before} == before

    # The next run goes on as if nothing had been, and uses no version's id again.
    monkeypatch.undo()
    versions = set(all_versions(own_sample))
    done = _publish(own_sample, sample, tables)
    assert done.is_new and done.version not in versions
    assert latest_version(own_sample) == done.version


def _publish(outputs: Outputs, sample: Version, tables: dict[str, pl.LazyFrame]) -> publishing.PublishResult:
    content = content_of(sample.content)
    return publishing.publish(
        outputs,
        tables,
        policy=load_license_policy(),
        releases=content.releases,
        missing=content.missing,
        excluded=content.excluded,
        is_sample=True,
    )


def test_what_a_killed_run_left_is_swept_and_the_link_is_mended(own_sample: Outputs, sample: Version) -> None:
    leftovers = [
        own_sample.versions / ".partial-123" / "open" / "hcpcs_codes.parquet",
        own_sample.archive / "zips" / "abc.99.part",
        own_sample.folder / ".state.json.99.part",
    ]
    for path in leftovers:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    own_sample.latest_link.unlink()
    own_sample.latest_link.symlink_to("versions/1999.01.1")
    done = refresh(own_sample)
    assert not done.is_new
    assert not any(path.exists() for path in leftovers)
    assert not (own_sample.versions / ".partial-123").exists()
    assert own_sample.latest_link.readlink() == Path("versions") / sample.id


def test_bytes_in_the_archive_without_an_entry_in_its_index_change_nothing(own_sample: Outputs) -> None:
    (own_sample.archive / "zips" / f"{'0' * 64}.zip").write_bytes(b"left by a run that did not finish")
    assert not refresh(own_sample).is_new


def test_a_version_that_lost_a_file_is_made_anew(own_sample: Outputs, sample: Version) -> None:
    """A version is never changed: what is damaged is replaced by a version with an id of its own."""
    (own_sample.version(sample.id) / "open" / "hcpcs_codes.parquet").unlink()
    done = refresh(own_sample)
    assert done.published is not None
    folder = own_sample.version(latest_version(own_sample) or "")
    assert (folder / "open" / "hcpcs_codes.parquet").exists()


def test_version_ids_are_compared_as_numbers() -> None:
    ids = ["2025.10.10", "2025.10.9", "2025.01.11", "2025.10.2"]
    assert sorted(ids, key=publish_state.version_key) == ["2025.01.11", "2025.10.2", "2025.10.9", "2025.10.10"]


def test_two_refreshes_at_once_wait_for_each_other(own_sample: Outputs, sample: Version) -> None:
    told: list[str] = []
    with FileLock(own_sample.lock), pytest.raises(BeingWritten, match=r"0\.2 seconds.*--wait"):
        refresh(own_sample, progress=told.append, wait=0.2)
    assert told == [f"waiting for another process that writes to {own_sample.folder}, for at most 0.2 seconds"]
    assert not refresh(own_sample).is_new


# --- the manifest ----------------------------------------------------------------------------------------------------


def test_the_manifests_content_holds_no_clock_path_commit_or_order_of_arrival(
    sample: Version, sample_folder: Path
) -> None:
    text = json.dumps(sample.content)
    for trace in (str(sample_folder), str(sample.outputs.folder), "created_at", "commit", "origins", "python"):
        assert trace not in text
    assert sample.manifest["build"]["version"] == sample.id
    assert sample.manifest["build"]["predecessor"] is None


def test_the_manifest_names_every_file_with_its_hash_and_rows(sample: Version) -> None:
    files = sample.content["files"]
    on_disk = {p.relative_to(sample.folder).as_posix() for p in sample.folder.rglob("*") if p.is_file()}
    assert set(files) <= on_disk
    assert {f for f in on_disk if f.startswith("open/")} == {f for f in files if f.startswith("open/")}
    for name, entry in files.items():
        data = (sample.folder / name).read_bytes()
        assert (entry["sha256"], entry["bytes"]) == (hashlib.sha256(data).hexdigest(), len(data))
        if name.endswith(".parquet"):
            assert entry["rows"] == pl.read_parquet(sample.folder / name).height


def test_the_manifest_names_every_release_by_its_members(sample: Version, sample_folder: Path) -> None:
    offered = {name for path in sample_folder.rglob("*.zip") for name in zipfile.ZipFile(path).namelist()}
    named = {m["name"] for r in sample.content["releases"] for m in r["members"]}
    assert named == offered


# --- real releases ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(shared_cms: Path, tmp_path_factory: pytest.TempPathFactory) -> Version:
    """A version of two real releases: one of both forms, and a later one that is a workbook alone."""
    folder = tmp_path_factory.mktemp("real")
    for path in (p for r in ("2025-01", "2025-10") for p in (shared_cms / r).glob("*.zip")):
        link = folder / "in" / path.parent.name / path.name
        link.parent.mkdir(parents=True)
        link.symlink_to(path)
    outputs = Outputs(folder / "outputs")
    return Version(outputs, refresh(outputs, offered=folder / "in"))


def test_real_releases_are_published_with_the_issues_counts(real: Version) -> None:
    counts = real.open("hcpcs_releases").select("release_id", "form", "procedure_count", "modifier_count").rows()
    assert counts == [("2025-01", "both", 8259, 383), ("2025-10", "workbook", 8463, 383)]
    records = real.open("hcpcs_release_records")
    assert records.filter(release_id="2025-01").height == 8259 + 383
    assert real.content["is_sample"] is False


def test_the_117_action_dates_that_2025_10_leaves_blank_are_null(real: Version) -> None:
    blank = real.open("hcpcs_release_records").filter(pl.col("action_effective_date").is_null())
    assert blank.filter(release_id="2025-10").height == 117
    assert blank.filter(release_id="2025-01").height == 0
