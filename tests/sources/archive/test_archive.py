"""The archive: bytes kept by content, an index replaced whole, and what a zip is found to be on the way in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from made_up import posting, record
from release_writer import anweb_text, anweb_workbook, corrections, noc_codes, release_zip, transaction_report

from hcpcs.files import file_sha256, write_atomically
from sources.archive.archive import ArchiveIndex
from sources.errors import ReleaseUnclear, SourceError, ZipRefused
from sources.release.inspect import inspect_zip, open_archive
from sources.release.member_roles import member_role

RECORDS = (record("A1"), record("A0080"), record("V5364"))


def test_a_zip_kept_is_the_same_bytes_under_its_hash(tmp_path: Path) -> None:
    path = posting("2019-01", *RECORDS).write(tmp_path / "in")
    archive = open_archive(tmp_path / "archive")
    archive.keep(path, file_sha256(path))
    kept = archive.zip_path(file_sha256(path))
    assert kept.read_bytes() == path.read_bytes()
    assert [p.name for p in kept.parent.iterdir()] == [f"{file_sha256(path)}.zip"]


def test_the_index_comes_back_as_it_was_committed(tmp_path: Path) -> None:
    path = posting("2019-01", *RECORDS, form="both").write(tmp_path / "in")
    archive = open_archive(tmp_path / "archive")
    assert archive.index() == ArchiveIndex()
    index = ArchiveIndex(excluded={"2018-01": "dated wrongly"}, refused={"a.zip": "not a zip"}).with_zips(
        [inspect_zip(path, folder="2019-01")]
    )
    archive.commit(index)
    assert archive.index() == index
    (held,) = archive.index().releases()["2019-01"]
    assert {m.role for m in held.members} == {"code_text", "code_workbook"}


@pytest.mark.parametrize(
    "damaged", ["", "{", "[]", '{"zips": {}}', '{"format": 1, "zips": {"a": {}}, "excluded": {}, "refused": {}}']
)
def test_a_damaged_index_is_refused_with_the_way_out(tmp_path: Path, damaged: str) -> None:
    (tmp_path / "index.json").write_text(damaged)
    with pytest.raises(SourceError, match=r"index\.json is not what hcpcs wrote: .*`hcpcs refresh --from DIR`"):
        open_archive(tmp_path).index()


def test_an_index_of_another_format_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(SourceError, match=r"format 99.*--outputs"):
        open_archive(tmp_path).index()


def test_a_zip_offered_again_gains_an_origin_and_nothing_else(tmp_path: Path) -> None:
    held = inspect_zip(posting("2019-01", *RECORDS).write(tmp_path), folder="2019-01")
    first, second, again = (
        replace(held, origins=({"from": place, "at": "then"},)) for place in ("here", "there", "here")
    )
    index = ArchiveIndex().with_zips([first]).with_zips([second]).with_zips([again])
    assert [o["from"] for o in index.zips[held.sha256].origins] == ["here", "there"]


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_bytes_that_the_archive_lost_are_refused_by_name(tmp_path: Path, damage: str) -> None:
    path = posting("2019-01", *RECORDS).write(tmp_path / "in")
    held = inspect_zip(path, folder="2019-01")
    archive = open_archive(tmp_path / "archive")
    archive.keep(path, held.sha256)
    assert len(archive.read(held)) == 1
    kept = archive.zip_path(held.sha256)
    if damage == "missing":
        kept.unlink()
    else:
        kept.write_bytes(kept.read_bytes() + b"x")
    with pytest.raises(ZipRefused, match=held.name):
        archive.read(held)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    write_atomically(path, b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


# --- what is offered -------------------------------------------------------------------------------------------------


# --- what a zip is ---------------------------------------------------------------------------------------------------


def test_the_release_is_found_in_folder_zip_and_code_members(tmp_path: Path) -> None:
    zip_alone = tmp_path / "january-2025-alpha-numeric-hcpcs-file.zip"
    zip_alone.write_bytes(release_zip({"anweb.txt": anweb_text(RECORDS)}))
    member_alone = tmp_path / "download.zip"
    member_alone.write_bytes(release_zip({"HCPC2025_JAN/HCPC2025_JAN_ANWEB.txt": anweb_text(RECORDS)}))
    nothing = tmp_path / "file.zip"
    nothing.write_bytes(release_zip({"anweb.txt": anweb_text(RECORDS)}))
    assert inspect_zip(zip_alone).release_id == "2025-01"
    assert inspect_zip(member_alone).release_id == "2025-01"
    assert inspect_zip(nothing, folder="2025-01").release_id == "2025-01"
    assert inspect_zip(nothing, stated="2025-01").release_id == "2025-01"
    with pytest.raises(ReleaseUnclear):
        inspect_zip(nothing)


def test_side_files_of_another_quarter_do_not_contradict_the_code_file(tmp_path: Path) -> None:
    path = tmp_path / "2020-april-alpha-numeric-hcpcs-file.zip"
    members = {
        "HCPC2020_APRIL_ANWEB.txt": anweb_text(RECORDS),
        "NOC_Codes_JAN2020.xlsx": noc_codes(RECORDS, title="SAMPLE NOC CODES"),
    }
    path.write_bytes(release_zip(members))
    assert inspect_zip(path, folder="2020-04").release_id == "2020-04"


def test_code_members_of_another_release_contradict_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(release_zip({"HCPC2019_CONTR_ANWEB.txt": anweb_text(RECORDS)}))
    with pytest.raises(ReleaseUnclear, match=r"2017-01.*HCPC2019_CONTR_ANWEB\.txt says 2019"):
        inspect_zip(path, folder="2017-01")


def test_a_member_is_what_it_holds_and_not_what_it_is_called() -> None:
    report = transaction_report(RECORDS)
    fixes = corrections(
        [{"HCPCS/MOD Code": "A0080", "Action": "Revise SD", "Effective Date": "20250101"}],
        headings=("HCPCS/MOD Code", "Action", "Short Description", "Long Description", "Effective Date"),
    )
    # The names that CMS gave such members match the code file's in every pattern.
    assert member_role("HCPC2025_JAN_ANWEB_12172024.xlsx", anweb_workbook(RECORDS)) == "code_workbook"
    assert member_role("HCPC2025_JAN_ANWEB_Corrections_12172024.xlsx", fixes) == "corrections"
    assert member_role("HCPC2025_JAN_ANWEB_Transaction Report.xlsx", report) == "transaction_report"
    assert member_role("Transaction Report.xlsx", anweb_workbook(RECORDS)) == "code_workbook"
    assert member_role("HCPC2025_JAN_ANWEB_12172024.TXT", anweb_text(RECORDS)) == "code_text"
    assert member_role("corrections.txt", anweb_text(RECORDS)) == "code_text"


def test_what_is_named_like_a_code_file_and_is_none_is_said_to_be_unreadable() -> None:
    assert member_role("HCPC2025_JAN_ANWEB.xlsx", b"PK\x03\x04 broken") == "unreadable_workbook"
    assert member_role("HCPC2025_JAN_ANWEB.xls", b"") == "unreadable_workbook"
    assert member_role("HCPC2025_JAN_ANWEB.txt", b"Sample words.") == "unreadable_text"
    assert member_role("HCPC2013_A-N.txt", b"Sample words.") == "unreadable_text"


@pytest.mark.parametrize(
    "name",
    ["picture.png", "HCPC2019_ANWEB.pdf", "2019 Alpha-Numeric Sample.txt", "ANWEB_Index.txt", "ANWEB_Table.xlsx"],
)
def test_other_members_are_others_whatever_they_are_called(name: str) -> None:
    assert member_role(name, b"Sample words.") == "other"
