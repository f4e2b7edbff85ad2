"""Reading workbooks in a process of its own: what comes back, and that nothing a workbook holds harms this process."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import xlsxwriter
from made_up import record
from old_workbook import old_workbook
from release_writer import WorkbookOptions, anweb_workbook

from sources.code_file.workbook import read_anweb_workbook
from sources.errors import MemberError
from sources.excel import reader as workbooks
from sources.excel.reader import forget_sheets, read_sheets


def new_workbook(*sheets: list[list[str]]) -> bytes:
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer) as book:
        for rows in sheets:
            page = book.add_worksheet()
            for r, row in enumerate(rows):
                page.write_row(r, 0, row)
    return buffer.getvalue()


def with_part_changed(data: bytes, part: str, old: bytes, new: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as book, zipfile.ZipFile(buffer, "w") as copy:
        assert old in book.read(part)
        for name in book.namelist():
            copy.writestr(name, book.read(name).replace(old, new) if name == part else book.read(name))
    return buffer.getvalue()


@pytest.fixture
def fresh_readers() -> Iterator[None]:
    """Bounds that a test changes are those of a process that starts then, and nothing is kept from before."""
    workbooks._end_readers()
    forget_sheets()
    yield
    workbooks._end_readers()
    forget_sheets()


def test_sheets_come_in_order_with_every_cell_as_text() -> None:
    book = new_workbook([["a", "1"], ["b", "2"]], [["c"]])
    assert [(name, frame.rows()) for name, frame in read_sheets("a.xlsx", book)] == [
        ("Sheet1", [("a", "1"), ("b", "2")]),
        ("Sheet2", [("c",)]),
    ]


def test_a_workbook_of_before_2007_gives_what_one_of_today_gives() -> None:
    new = anweb_workbook([record("TP"), record("A0080"), record("V5364")], options=WorkbookOptions(rows="record"))
    old = old_workbook(read_sheets("a.xlsx", new)[0][1].rows())
    (cells, findings), (expected, _) = read_anweb_workbook("a.xls", old), read_anweb_workbook("a.xlsx", new)
    assert findings == []
    assert cells.rows.equals(expected.rows) and cells.codings.equals(expected.codings)


def test_several_threads_read_at_the_same_time() -> None:
    books = [new_workbook([[str(n)]]) for n in range(12)]
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda book: read_sheets("a.xlsx", book)[0][1].item(), books))
    assert read == [str(n) for n in range(12)]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, fresh_readers: None) -> list[bytes]:
    """The workbooks that the process was asked for."""
    asked: list[bytes] = []
    ask = workbooks._ask
    monkeypatch.setattr(workbooks, "_ask", lambda book: asked.append(book) or ask(book))
    return asked


def test_a_workbook_is_read_once_until_it_is_forgotten(asked: list[bytes]) -> None:
    one, other = new_workbook([["a"]]), new_workbook([["b"]])
    for book in (one, other, one):
        assert read_sheets("a.xlsx", book)[0][1].item() == ("a" if book is one else "b")
    assert asked == [one, other]
    forget_sheets()
    read_sheets("a.xlsx", one)
    assert asked == [one, other, one]


def test_what_is_kept_is_bounded(asked: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = new_workbook([["a"]]), new_workbook([["b"]])
    read_sheets("a.xlsx", one)
    monkeypatch.setattr(workbooks, "MOST_KEPT", 1)
    for book in (other, other, one):
        read_sheets("a.xlsx", book)
    assert asked == [one, other, other]


def sector_loop() -> bytes:
    """The directory's sector is followed by itself, for ever."""
    raw = bytearray(old_workbook([["a"]]))
    assert struct.unpack_from("<II", raw, 512) == (0xFFFFFFFD, 0xFFFFFFFE)
    struct.pack_into("<I", raw, 516, 1)
    return bytes(raw)


def many_sectors() -> bytes:
    """The header says that the table of sectors fills four billion of them."""
    raw = bytearray(old_workbook([["a"]]))
    struct.pack_into("<I", raw, 44, 0xFFFFFFFF)
    return bytes(raw)


def far_cell() -> bytes:
    """One cell stands in the last column of the last row: 17 billion lie before it."""
    book = new_workbook([["a"], ["b"]])
    return with_part_changed(book, "xl/worksheets/sheet1.xml", b'<c r="A2"', b'<c r="XFD1048576"')


def far_cells_of_old() -> bytes:
    """As far as an .xls goes."""
    raw = old_workbook([["a"], ["b"]])
    at = raw.rindex(struct.pack("<HHHHH", 0x00FD, 10, 1, 0, 0))
    return raw[: at + 4] + struct.pack("<HH", 0xFFFF, 0xFFFF) + raw[at + 8 :]


@pytest.mark.parametrize("crafted", [sector_loop, many_sectors, far_cell, far_cells_of_old], ids=lambda c: c.__name__)
def test_a_crafted_workbook_is_refused_and_the_next_one_is_read(crafted) -> None:
    name = "a.xlsx" if crafted is far_cell else "a.xls"
    try:
        read = read_sheets(name, crafted())
    except MemberError as refusal:
        assert str(refusal).startswith(f"{name} cannot be read as a workbook: ") and len(str(refusal)) < 200
    else:
        assert crafted is many_sectors and read[0][1].rows() == [("a",)]  # where memory is only asked for, not used
    assert read_sheets("b.xlsx", new_workbook([["b"]]))[0][1].item() == "b"


def test_a_sheet_of_more_cells_than_any_is_refused_with_their_number(
    monkeypatch: pytest.MonkeyPatch, fresh_readers: None
) -> None:
    monkeypatch.setattr(workbooks, "MOST_CELLS", 5)
    with pytest.raises(MemberError, match="the sheet 'Sheet1' has 6 cells, past the bound of 5"):
        read_sheets("a.xlsx", new_workbook([["a", "b"]] * 3))


def test_a_workbook_whose_reader_does_not_end_is_refused(monkeypatch: pytest.MonkeyPatch, fresh_readers: None) -> None:
    monkeypatch.setattr(workbooks, "MOST_SECONDS", 0)
    with pytest.raises(MemberError, match="its reader had not ended after 0 s"):
        read_sheets("a.xlsx", new_workbook([["a"]]))


def test_what_is_no_workbook_is_refused_with_the_readers_words() -> None:
    with pytest.raises(MemberError, match=r"a\.xlsx cannot be read as a workbook: "):
        read_sheets("a.xlsx", b"no workbook")
