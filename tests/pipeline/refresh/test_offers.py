"""What people have in their folders: other zips beside a release, unpacked files, zips in zips; all by the command."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Said, manifest_of
from made_up import posting, record
from release_writer import processing_notes, release_zip

from hcpcs.paths import Outputs
from hcpcs.version import latest_version
from sources.release.inspect import open_archive

RECORDS = (record("A1"), record("A0080"), record("V5364"))
JANUARY = posting("2025-01", *RECORDS, form="both")
OCTOBER = posting("2025-10", *RECORDS, record("J1000"), form="workbook")
NOTES = {"proc_notes_OCT2025.txt": processing_notes({"0001": "Sample: a note"})}


def compressed(members: Mapping[str, bytes]) -> bytes:
    return release_zip(members, comment=b"")


def addendum_b() -> bytes:
    """A zip of another payment system, as it lies beside a release: codes, short words, a status; no HCPCS record."""
    rows = "HCPCS Code,Short Descriptor,SI,APC\r\nA0080,Sample ride,N,\r\nJ1000,Sample thing,K,9001\r\n"
    return compressed(
        {"2025_January_Web_Addendum_B.csv": rows.encode(), "2025_January_Web_Addendum_B.pdf": b"%PDF-1.4"}
    )


def fee_schedule() -> bytes:
    return compressed(
        {"DMEPOS25_JAN.csv": b"HCPCS,Mod,JURIS,CATG,Ceiling\r\nA0080,,D,CR,10.00\r\n", "README.txt": b"DMEPOS"}
    )


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    return Outputs(tmp_path / "outputs")


@pytest.fixture
def refreshed(hcpcs: Callable[..., Said], outputs: Outputs) -> Callable[..., Said]:
    def call(folder: Path, *options: object) -> Said:
        return hcpcs("refresh", "--from", folder, "--outputs", outputs.folder, *options)

    return call


def content(outputs: Outputs) -> dict[str, Any]:
    version = latest_version(outputs)
    assert version is not None
    found: dict[str, Any] = manifest_of(outputs.version(version))["content"]
    return found


def loaded(outputs: Outputs) -> dict[str, set[str]]:
    """The names of members by release, as the version states them."""
    found: dict[str, set[str]] = {}
    for release in content(outputs)["releases"]:
        found.setdefault(release["release_id"], set()).update(m["name"] for m in release["members"])
    return found


def written(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# --- other zips ------------------------------------------------------------------------------------------------------


def test_zips_of_other_systems_are_left_with_the_reason_and_the_release_goes_in(
    refreshed: Callable[..., Said], outputs: Outputs, tmp_path: Path
) -> None:
    folder = tmp_path / "Downloads"
    written(folder / JANUARY.name, compressed(JANUARY.members))
    written(folder / "january-2025-opps-addendum-b.zip", addendum_b())
    written(folder / "dme25-a.zip", fee_schedule())
    written(folder / "photos.zip", b"PK\x03\x04 cut")
    done = refreshed(folder)
    assert done.status == 0, done.err
    for name in ("january-2025-opps-addendum-b.zip", "dme25-a.zip", "photos.zip"):
        assert f"not loaded: {name}: " in done.out
    assert loaded(outputs) == {"2025-01": set(JANUARY.members)}
    assert len(open_archive(outputs.archive).index().zips) == 1
    assert len(list((outputs.archive / "zips").iterdir())) == 1
    again = refreshed(folder, "--json")
    assert again.status == 0 and json.loads(again.out)["is_new"] is False
    assert set(json.loads(again.out)["not_loaded"]) == {"january-2025-opps-addendum-b.zip", "dme25-a.zip", "photos.zip"}


def test_a_zip_of_another_system_in_a_releases_folder_does_not_become_its_member(
    refreshed: Callable[..., Said], outputs: Outputs, tmp_path: Path
) -> None:
    written(tmp_path / "in/2025-01/release.zip", compressed(JANUARY.members))
    written(tmp_path / "in/2025-01/addendum_b.zip", addendum_b())
    done = refreshed(tmp_path / "in")
    assert done.status == 0, done.err
    assert loaded(outputs) == {"2025-01": set(JANUARY.members)}
    assert "not loaded: 2025-01/addendum_b.zip" in done.out


def test_a_folder_with_nothing_of_hcpcs_is_refused_with_each_reason(
    refreshed: Callable[..., Said], outputs: Outputs, tmp_path: Path
) -> None:
    written(tmp_path / "in/dme25-a.zip", fee_schedule())
    said = refreshed(tmp_path / "in")
    assert said.status == 1 and "dme25-a.zip" in said.err and "not HCPCS Level II" in said.err
    assert "--release" not in said.err and not outputs.versions.exists()


def test_a_side_zip_waits_until_its_release_comes(
    refreshed: Callable[..., Said], outputs: Outputs, tmp_path: Path
) -> None:
    written(tmp_path / "in/2025-01/release.zip", compressed(JANUARY.members))
    written(tmp_path / "in/2025-10/october-2025-hcpcs-processing-notes.zip", compressed(NOTES))
    first = refreshed(tmp_path / "in")
    assert first.status == 0, first.err
    assert "october-2025-hcpcs-processing-notes.zip: not loaded until 2025-10 is" in first.out
    assert set(loaded(outputs)) == {"2025-01"}
    written(tmp_path / "in/2025-10/release.zip", compressed(OCTOBER.members))
    assert refreshed(tmp_path / "in").status == 0
    assert loaded(outputs)["2025-10"] == {*OCTOBER.members, *NOTES}


def test_what_waits_is_named_where_nothing_else_is_offered(
    refreshed: Callable[..., Said], outputs: Outputs, tmp_path: Path
) -> None:
    written(tmp_path / "in/2025-10/october-2025-hcpcs-processing-notes.zip", compressed(NOTES))
    said = refreshed(tmp_path / "in")
    assert said.status == 1 and not outputs.versions.exists()
    assert "october-2025-hcpcs-processing-notes.zip: not loaded until 2025-10 is: it has no code file" in said.err


# --- as people have them ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "workbook"])
def test_a_loose_code_file_is_taken_in(
    refreshed: Callable[..., Said], outputs: Outputs, tmp_path: Path, form: Any
) -> None:
    ((name, data),) = posting("2025-01", *RECORDS, form=form).members.items()
    path = written(tmp_path / "Downloads" / name, data)
    done = refreshed(path)
    assert done.status == 0, done.err
    assert f"compressed {name} into " in done.out
    assert loaded(outputs) == {"2025-01": {name}}
    kept = next((outputs.archive / "zips").iterdir()).read_bytes()
    assert zipfile.ZipFile(io.BytesIO(kept)).read(name) == data
    again = refreshed(path.parent, "--json")
    assert again.status == 0 and json.loads(again.out)["is_new"] is False
    assert [p.read_bytes() for p in (outputs.archive / "zips").iterdir()] == [kept]


def test_a_single_file_is_taken_in_for_what_it_holds(
    refreshed: Callable[..., Said], outputs: Outputs, tmp_path: Path
) -> None:
    ((_, text),) = posting("2025-01", *RECORDS).members.items()
    assert refreshed(written(tmp_path / "codes.prn", text), "--release", "2025-01").status == 0
    notes = processing_notes({"0001": "Sample: a note"})
    assert refreshed(written(tmp_path / "proc_notes_JAN2025.prn", notes)).status == 0
    assert loaded(outputs) == {"2025-01": {"codes.prn", "proc_notes_JAN2025.prn"}}
    said = refreshed(written(tmp_path / "shopping.txt", b"bread"))
    assert (said.status, said.err.startswith("hcpcs: error: shopping.txt: not a zip")) == (1, True), said.err


def test_an_unpacked_folder_gives_what_its_zip_gives(
    refreshed: Callable[..., Said], outputs: Outputs, tmp_path: Path, hcpcs: Callable[..., Said]
) -> None:
    readme = b"HCPC2025 READ ME\r\nCenters for Medicare and Medicaid Services: HCPCS file content\r\n"
    printed = {"proc_notes_v2.prn": processing_notes({"0002": "Sample: another"}), "HCPC2025_README.txt": readme}
    members = {**OCTOBER.members, **NOTES, **printed}
    for name, data in members.items():
        written(tmp_path / "in/october-2025-alpha-numeric-hcpcs-file" / name, data)
    written(tmp_path / "in/october-2025-alpha-numeric-hcpcs-file/shopping.txt", b"bread")
    said = refreshed(tmp_path / "in")
    assert said.status == 0
    assert "october-2025-alpha-numeric-hcpcs-file: no files of a release: shopping.txt" in said.out
    other = Outputs(tmp_path / "other")
    written(tmp_path / "zips/2025-10/release.zip", compressed(members))
    assert hcpcs("refresh", "--from", tmp_path / "zips", "--outputs", other.folder).status == 0
    assert content(outputs) == content(other)


def test_files_unpacked_beside_their_zip_change_nothing(
    refreshed: Callable[..., Said], outputs: Outputs, tmp_path: Path
) -> None:
    written(tmp_path / "in/2025-01/release.zip", compressed(JANUARY.members))
    for name, data in JANUARY.members.items():
        written(tmp_path / "in/2025-01" / name, data)
    assert refreshed(tmp_path / "in").status == 0
    assert len(open_archive(outputs.archive).index().zips) == 1


def test_loose_files_of_two_releases_in_one_folder_are_two_releases(
    refreshed: Callable[..., Said], outputs: Outputs, tmp_path: Path
) -> None:
    for one in (JANUARY, OCTOBER):
        for name, data in one.members.items():
            written(tmp_path / "in" / name, data)
    assert refreshed(tmp_path / "in").status == 0
    assert loaded(outputs) == {"2025-01": set(JANUARY.members), "2025-10": set(OCTOBER.members)}


def test_zips_in_a_zip_are_taken_in(refreshed: Callable[..., Said], outputs: Outputs, tmp_path: Path) -> None:
    both = {"all/2025-01/a.zip": compressed(JANUARY.members), f"all/{OCTOBER.name}": compressed(OCTOBER.members)}
    written(tmp_path / "in/everything.zip", compressed(both))
    done = refreshed(tmp_path / "in")
    assert done.status == 0, done.err
    assert set(loaded(outputs)) == {"2025-01", "2025-10"}
    assert {z.name for z in open_archive(outputs.archive).index().zips.values()} == {"a.zip", OCTOBER.name}


def test_what_a_mac_adds_to_a_zip_is_no_member_and_no_finding(
    refreshed: Callable[..., Said], outputs: Outputs, tmp_path: Path, hcpcs: Callable[..., Said]
) -> None:
    junk = {f"__MACOSX/._{name}": b"\0\5\26\7 Mac" for name in JANUARY.members} | {".DS_Store": b"\0\0\0\1Bud1"}
    written(tmp_path / "in/2025-01/a.zip", compressed({**JANUARY.members, **junk}))
    assert refreshed(tmp_path / "in").status == 0
    assert loaded(outputs) == {"2025-01": set(JANUARY.members)}
    assert "MACOSX" not in hcpcs("findings", "2025-01", "--json", "--outputs", outputs.folder).out
