"""Zips that a release must not be: one function per way, each returning the bytes of a file.

They are made from a small good release, `good_zip`, by one change each. The file's name is for the caller to choose:
`NAME` says which release the members' names tell.
"""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from collections.abc import Callable
from dataclasses import replace

from release_writer import SampleRecord, anweb_text, anweb_workbook, release_zip

#: Folder and name under which CMS would post these zips.
NAME = "2019-01/2019-Alpha-Numeric-HCPCS-File.zip"
TEXT = "HCPC2019_CONTR_ANWEB.txt"
WORKBOOK = "HCPC2019_CONTR_ANWEB.xlsx"

_DAY = dt.date(2019, 1, 1)
RECORDS = (
    SampleRecord(
        code="A1",
        short_description="Sample bandage",
        long_description="Sample: one bandage",
        coverage_code="C",
        added_date=_DAY,
        action_effective_date=_DAY,
        action_code="A",
    ),
    SampleRecord(
        code="A0080",
        short_description="Sample ride",
        long_description="Sample: ride, " + "by the mile, " * 10 + "one way",
        pricing_indicators=("00",),
        coverage_code="I",
        anesthesia_base_units=0,
        added_date=_DAY,
        action_effective_date=_DAY,
        action_code="A",
    ),
    SampleRecord(
        code="V5364",
        short_description="Sample look",
        long_description="Sample: a quick look",
        added_date=_DAY,
        action_effective_date=_DAY,
        action_code="A",
    ),
)


def good_zip() -> bytes:
    """The release that all others here spoil."""
    return _zip_of_text(anweb_text(RECORDS))


def not_a_zip() -> bytes:
    return b"\x00\x01\x02 this is no zip \xff" * 50


def html_page() -> bytes:
    return b"<!DOCTYPE html>\n<html><head><title>Page not found</title></head><body>Nothing here.</body></html>\n"


def truncated_zip() -> bytes:
    whole = good_zip()
    return whole[: len(whole) // 2]


def damaged_zip() -> bytes:
    """The member's packed bytes cannot be unpacked: Python says `zlib.error`, not `BadZipFile`."""
    whole = good_zip()
    start = whole.index(TEXT.encode()) + len(TEXT)
    return whole[: start + 40] + bytes(byte ^ 0xFF for byte in whole[start + 40 : start + 44]) + whole[start + 44 :]


def wrong_checksum() -> bytes:
    """The member's bytes do not give its checksum."""
    return _with_byte_changed(good_zip(), local=14, directory=16, mask=0xFF)


def encrypted_zip() -> bytes:
    """The flag bit that says "encrypted" is set, at the member and in the directory."""
    return _with_byte_changed(good_zip(), local=6, directory=8, mask=1)


def _with_byte_changed(whole: bytes, *, local: int, directory: int, mask: int) -> bytes:
    """Flip bits of one byte in the member's local header and in its entry of the directory."""
    raw = bytearray(whole)
    raw[raw.index(b"PK\x03\x04") + local] ^= mask
    raw[raw.index(b"PK\x01\x02") + directory] ^= mask
    return bytes(raw)


def empty_zip() -> bytes:
    return release_zip({})


def empty_file() -> bytes:
    return b""


def climbing_member() -> bytes:
    return release_zip({TEXT: anweb_text(RECORDS), "../outside.txt": b"climbed out\r\n"})


def absolute_member() -> bytes:
    return release_zip({TEXT: anweb_text(RECORDS), "/outside.txt": b"climbed out\r\n"})


def zip_bomb(size: int = 48 * 1024 * 1024) -> bytes:
    """A member of blanks that is some thousand times its packed size."""
    return release_zip({TEXT: b" " * size})


def no_code_file() -> bytes:
    return release_zip({"HCPC2019_README.txt": b"Sample: words about a release, and no release.\r\n"})


def two_different_code_files() -> bytes:
    other = [replace(RECORDS[0], long_description="Sample: two bandages"), *RECORDS[1:]]
    return release_zip({TEXT: anweb_text(RECORDS), "HCPC2019_CONTR_ANWEB_v2.txt": anweb_text(other)})


def record_id_five() -> bytes:
    lines = _lines()
    at = next(n for n, line in enumerate(lines) if line.startswith(b"V5364"))
    lines[at] = lines[at][:10] + b"5" + lines[at][11:]
    return _zip_of_text(b"\r\n".join(lines))


def continuation_without_record() -> bytes:
    """The first line of A0080 is missing, its continuation is there."""
    lines = [line for line in _lines() if not line.startswith(b"A0080001")]
    return _zip_of_text(b"\r\n".join(lines))


def same_code_twice() -> bytes:
    other = replace(RECORDS[2], long_description="Sample: a long look")
    return _zip_of_text(anweb_text(RECORDS) + anweb_text([other]))


def impossible_date() -> bytes:
    """Every record was added on 31 February."""
    raw = b"\r\n".join(
        line[:268] + b"20190231" + line[276:] if line[10:11] in (b"3", b"7") else line for line in _lines()
    )
    return _zip_of_text(raw)


def dates_out_of_order() -> bytes:
    """A record ends before it was added."""
    return _zip_of_text(anweb_text([*RECORDS[:2], replace(RECORDS[2], termination_date=dt.date(2018, 12, 31))]))


def workbook_without_header() -> bytes:
    """A workbook whose header row is gone; there is no text beside it."""
    raw = anweb_workbook(RECORDS)
    shared = "xl/sharedStrings.xml"
    with zipfile.ZipFile(io.BytesIO(raw)) as book:
        members = {entry: book.read(entry) for entry in book.namelist()}
    members[shared] = members[shared].replace(b"<t>HCPC</t>", b"<t>WORD</t>")
    return release_zip({WORKBOOK: release_zip(members, comment=b"")})


def text_of_blanks() -> bytes:
    return _zip_of_text((b" " * 320 + b"\r\n") * 40)


def _zip_of_text(text: bytes) -> bytes:
    return release_zip({TEXT: text})


def _lines() -> list[bytes]:
    return anweb_text(RECORDS).split(b"\r\n")


#: Every way, by the name of its function.
BAD_INPUTS: dict[str, Callable[[], bytes]] = {
    function.__name__: function
    for function in (
        not_a_zip,
        html_page,
        truncated_zip,
        damaged_zip,
        wrong_checksum,
        encrypted_zip,
        empty_zip,
        empty_file,
        climbing_member,
        absolute_member,
        zip_bomb,
        no_code_file,
        two_different_code_files,
        record_id_five,
        continuation_without_record,
        same_code_twice,
        impossible_date,
        dates_out_of_order,
        workbook_without_header,
        text_of_blanks,
    )
}
