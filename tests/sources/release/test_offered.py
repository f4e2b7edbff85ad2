"""What of a folder is offered: zips and, beside them, what was unpacked; each with the release that its folder says."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up import posting, record

from sources.errors import SourceError
from sources.release.offered import offers_in

RECORDS = (record("A1"), record("A0080"), record("V5364"))


def offered(folder: Path) -> list[tuple[Path, str | None]]:
    workshop = folder.parent / "workshop"
    workshop.mkdir(exist_ok=True)
    return [(offer.path, offer.folder) for offer in offers_in(folder, workshop)]


def test_a_folder_of_releases_and_bare_zips_are_both_offered(tmp_path: Path) -> None:
    inside = posting("2019-01", *RECORDS).write(tmp_path)
    bare = tmp_path / "2017-Alpha-Numeric-HCPCS-File.ZIP"
    bare.write_bytes(posting("2017-01", *RECORDS).write(tmp_path / "elsewhere").read_bytes())
    (tmp_path / "elsewhere" / "notes.txt").write_text("no zip")
    offers = offered(tmp_path)
    assert (inside, "2019-01") in offers
    assert (bare, None) in offers
    assert len(offers) == 3


def test_one_zip_is_offered_with_the_folder_it_lies_in(tmp_path: Path) -> None:
    path = posting("2019-01", *RECORDS).write(tmp_path)
    assert offered(path) == [(path, "2019-01")]


def test_a_linked_zip_belongs_to_the_folder_it_is_linked_into(tmp_path: Path) -> None:
    path = posting("2017-01", *RECORDS).write(tmp_path / "store")
    link = tmp_path / "in" / "2019-01" / "a.zip"
    link.parent.mkdir(parents=True)
    link.symlink_to(path)
    assert offered(tmp_path / "in") == [(link, "2019-01")]


def test_a_folder_that_is_not_there_or_holds_no_zip_is_an_error_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere does not exist; give --from"):
        offered(tmp_path / "nowhere")
    with pytest.raises(SourceError, match=r"has no \.zip and no code file.*; expected"):
        offered(tmp_path)
