"""Zips from outside: what is whole, plain and bounded is read; all else is refused with its name and reason."""

from __future__ import annotations

import datetime as dt
import hashlib
import random
import zipfile
from pathlib import Path

import bad_inputs
import pytest
from release_writer import release_zip

from sources.archive import zips
from sources.archive.zips import is_safe_name, read_zip
from sources.errors import ZipRefused


def refusal(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "offered.zip"
    path.write_bytes(data)
    with pytest.raises(ZipRefused) as refused:
        read_zip(path)
    assert str(refused.value).startswith("offered.zip: ")
    return str(refused.value)


def test_members_come_sorted_with_their_hash_and_entry_date(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(release_zip({"folder/b.txt": b"two", "a.txt": b"one"}, date=dt.date(2019, 2, 3)))
    members = read_zip(path)
    assert [(m.name, m.data, m.date) for m in members] == [
        ("a.txt", b"one", "2019-02-03"),
        ("folder/b.txt", b"two", "2019-02-03"),
    ]
    assert members[0].sha256 == hashlib.sha256(b"one").hexdigest()


def test_a_folder_in_the_zip_is_no_member_and_1980_is_no_date(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("folder/"), b"")
        archive.writestr(zipfile.ZipInfo("folder/a.txt"), b"one")
    assert [(m.name, m.date) for m in read_zip(path)] == [("folder/a.txt", None)]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("not_a_zip", "not a zip; it begins with b'\\x00\\x01\\x02"),
        ("html_page", "an HTML page, not a zip, titled 'Page not found'"),
        ("truncated_zip", "cut or damaged"),
        ("damaged_zip", f"{bad_inputs.TEXT} is damaged"),
        ("wrong_checksum", f"{bad_inputs.TEXT} is damaged"),
        ("encrypted_zip", f"{bad_inputs.TEXT} is encrypted"),
        ("empty_zip", "the zip is empty"),
        ("empty_file", "the file is empty"),
        ("climbing_member", "'../outside.txt' climbs out"),
        ("absolute_member", "'/outside.txt' climbs out"),
        ("zip_bomb", "times its size, past the bound of 200"),
    ],
)
def test_a_zip_that_cannot_be_read_safely_is_refused_with_its_reason(tmp_path: Path, name: str, words: str) -> None:
    assert words in refusal(tmp_path, bad_inputs.BAD_INPUTS[name]())


@pytest.mark.parametrize(
    ("bound", "limit", "words"),
    [("MOST_MEMBERS", 1, "2 members"), ("MOST_MEMBER_BYTES", 10, "11 bytes"), ("MOST_TOTAL_BYTES", 15, "11 bytes")],
)
def test_number_and_size_of_members_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, limit: int, words: str
) -> None:
    data = release_zip({"a.txt": b"hello world", "b.txt": b"hello world"})
    path = tmp_path / "offered.zip"
    path.write_bytes(data)
    assert len(read_zip(path)) == 2
    monkeypatch.setattr(zips, bound, limit)
    assert words in refusal(tmp_path, data)


def test_a_workbook_is_held_to_the_same_bounds_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = release_zip({"xl/worksheets/sheet1.xml": b" " * (4 * 1024**2)}, comment=b"")
    words = refusal(tmp_path, release_zip({"HCPC2019_CONTR_ANWEB.xlsx": bomb}))
    assert "HCPC2019_CONTR_ANWEB.xlsx" in words and "sheet1.xml would unpack to" in words


def test_a_directory_that_lies_about_a_size_is_found_out(tmp_path: Path) -> None:
    data = bytearray(release_zip({"a.txt": b"x" * 1000}))
    size = (1000).to_bytes(4, "little")
    for header, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.index(header) + offset
        assert data[at : at + 4] == size
        data[at : at + 4] = (10).to_bytes(4, "little")
    assert "a.txt" in refusal(tmp_path, bytes(data))


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "two.zip"
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", b"one")
        archive.writestr("a.txt", b"two")
    assert "two members are named a.txt" in refusal(tmp_path, path.read_bytes())


def test_an_entry_without_a_name_is_refused(tmp_path: Path) -> None:
    data = release_zip({"a.txt": b"one", "b.txt": b"two"})
    assert "'' climbs out of the zip or is no plain name" in refusal(tmp_path, data.replace(b"b.txt", b"\0.txt"))


def test_an_offset_before_the_zip_begins_is_refused(tmp_path: Path) -> None:
    raw = bytearray(release_zip({"a.txt": b"one", "b.txt": b"two"}))
    end = raw.index(b"PK\x05\x06")
    raw[end + 16 : end + 20] = (int.from_bytes(raw[end + 16 : end + 20], "little") + 60).to_bytes(4, "little")
    assert "damaged" in refusal(tmp_path, bytes(raw))


def test_a_refusal_can_be_printed_whatever_the_members_are_called(tmp_path: Path) -> None:
    for name in ("\x1b[31mred", "a\nb", "x" * 60_000, "ü\u2028"):
        words = refusal(tmp_path, release_zip({name: b"one"}))
        assert words.isprintable() and len(words) < 300


@pytest.mark.parametrize(
    "name", ["../a", "a/../../b", "/a", "\\a", "..\\a", "C:\\a", "c:a", "a\0b", "", "a\nb", "a" * 256]
)
def test_a_name_that_leaves_the_folder_or_is_no_plain_name_is_not_safe(name: str) -> None:
    assert not is_safe_name(name)


@pytest.mark.parametrize("name", ["a.txt", "folder/a.txt", "..a", "a..b/c", "NOC codes_JAN2025.xlsx"])
def test_a_name_that_stays_in_the_folder_is_safe(name: str) -> None:
    assert is_safe_name(name)


def test_no_damage_gives_another_error_than_a_refusal(tmp_path: Path) -> None:
    """Bytes changed at random: each zip is read whole or refused, whatever Python's reader makes of it."""
    whole, chance = bad_inputs.good_zip(), random.Random(2)
    directory = whole.index(b"PK\x01\x02")
    refused = 0
    for _ in range(400):
        raw = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            raw[chance.randrange(directory, len(raw))] = chance.randrange(256)
        path = tmp_path / "offered.zip"
        path.write_bytes(raw)
        try:
            read_zip(path)
        except ZipRefused:
            refused += 1
    assert refused > 100
