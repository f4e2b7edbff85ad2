"""Delimited text as people export it: as many lines out as there are lines in, or a refusal that names the line."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import random
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pytest
from conftest import Said
from small_version import SPANS, write_version

from hcpcs.annotate import csv_text, gzip_text

DAY = "2019-01-05"


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_version(tmp_path_factory.mktemp("version"), SPANS)


@pytest.fixture
def annotate(hcpcs: Callable[..., Said], tmp_path: Path, version: Path) -> Callable[..., tuple[Said, list[dict]]]:
    """Write claims, call the command with OUT, and read OUT back; no rows where it was refused."""

    def call(claims: bytes | str, *options: str, name: str = "c.csv") -> tuple[Said, list[dict[str, Any]]]:
        path, out = tmp_path / name, tmp_path / "out.parquet"
        path.write_bytes(claims.encode() if isinstance(claims, str) else claims)
        out.unlink(missing_ok=True)
        usual = ["--date", "dos", "--version", version, "--json"]
        usual += [] if "--code" in options else ["--code", "code"]
        said = hcpcs("annotate", path, out, *usual, *options)
        assert "Traceback" not in said.err
        assert out.exists() == (said.status == 0)
        return said, pq.read_table(out).to_pylist() if out.exists() else []

    return call


Annotate = Callable[..., tuple[Said, list[dict[str, Any]]]]


def column(rows: Sequence[dict[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows]


# Quotation marks


def test_a_stray_quotation_mark_swallows_no_line_and_passes_no_words_on(annotate: Annotate) -> None:
    lines = ["1|J1100|{}|x", '2|A4450|{}|"6 INCH TAPE', "3|99214|{}|SECRET WORDS", "4|G0008|{}|y"]
    claims = "line|code|dos|desc\n" + "\n".join(lines).format(*[DAY] * 4) + "\n"
    said, rows = annotate(claims, "--redact", "desc", name="c.txt")
    assert said.status == 0
    assert column(rows, "line") == ["1", "2", "3", "4"]
    assert rows[2]["desc"] is None
    assert "SECRET" not in str(rows)
    assert json.loads(said.out)["text_read_as"] == [
        {"delimiter": "|", "quote": "none", "encoding": "utf-8", "lines": 4}
    ]


@pytest.mark.parametrize("ends", [('"6 INCH TAPE', '"4 INCH ROLL'), ('"6 INCH TAPE', 'TAPE OF 6"')])
@pytest.mark.parametrize("delimiter", ["|", "\t"])
def test_two_strays_far_apart_lose_no_lines(annotate: Annotate, ends: tuple[str, str], delimiter: str) -> None:
    texts = [f"words of {i}" for i in range(30_000)]
    texts[10], texts[25_000] = ends
    lines = [delimiter.join((str(i), "J1100", DAY, text)) for i, text in enumerate(texts)]
    said, rows = annotate("\n".join([delimiter.join(("line", "code", "dos", "desc")), *lines]), name="c.txt")
    assert said.status == 0
    assert column(rows, "desc") == texts


def test_a_stray_in_a_file_that_quotes_is_refused_with_its_line(annotate: Annotate) -> None:
    claims = f'code,dos,desc\nJ1100,{DAY},"a, b"\n99214,{DAY},"6 INCH\n99214,{DAY},SECRET\nJ1100,{DAY},"c, d"\n'
    said, _ = annotate(claims, "--redact", "desc")
    assert (said.status, "c.csv: line 3: " in said.err, "SECRET" in said.err) == (1, True, False)
    assert "--quote none" in said.err


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ('"6 ""INCH"" TAPE"', '6 "INCH" TAPE'),
        ('6" TAPE', '6" TAPE'),
        ('"one, two"', "one, two"),
        ('"one\ntwo"', "one\ntwo"),
        ('"one\r\ntwo, three"', "one\r\ntwo, three"),
        ('""', ""),
        ("", None),
        ('""""', '"'),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_csv_quotes_is_read_as_csv(annotate: Annotate, text: str, given: str | None, newline: str) -> None:
    lines = ["line,code,dos,desc", f'1,J1100,{DAY},"x, y"', f"2,J1100,{DAY},{text}", f"3,J1100,{DAY},z"]
    said, rows = annotate(newline.join(lines) + newline)
    assert said.status == 0, said.err
    assert column(rows, "desc") == ["x, y", given, "z"]


def test_quoting_that_begins_behind_the_sample_is_seen(annotate: Annotate) -> None:
    texts = ["x" * 100] * 20_000 + ["one, two"]
    claims = "code,dos,desc\n" + "".join(f'J1100,{DAY},"{t}"\n' if "," in t else f"J1100,{DAY},{t}\n" for t in texts)
    said, rows = annotate(claims)
    assert said.status == 0, said.err
    assert column(rows, "desc") == texts


def test_texts_of_several_lines_that_look_like_claims_need_a_word(annotate: Annotate) -> None:
    claims = f'code,dos,desc\nJ1100,{DAY},"a, b"\nJ1100,{DAY},"first\nA4450,{DAY},second"\n'
    said, _ = annotate(claims)
    assert (said.status, "line 3" in said.err) == (1, True)
    said, rows = annotate(claims, "--quote", '"')
    assert column(rows, "desc") == ["a, b", f"first\nA4450,{DAY},second"]
    said, rows = annotate(claims, "--quote", "none")
    assert (said.status, "line 2: 4 fields" in said.err) == (1, True)


def test_backslashes_before_quotation_marks_need_a_word(annotate: Annotate) -> None:
    claims = f'code,dos,desc\nJ1100,{DAY},"a, b"\nJ1100,{DAY},"6\\" TAPE, wide"\n'
    said, _ = annotate(claims)
    assert (said.status, "line 3" in said.err) == (1, True)
    said, rows = annotate(claims, "--escape", "\\")
    assert column(rows, "desc") == ["a, b", '6" TAPE, wide']


@pytest.mark.slow
def test_a_crlf_in_quotes_keeps_its_lf_where_blocks_meet(annotate: Annotate) -> None:
    begin = b"code,dos,desc\r\n" + f'J1100,{DAY},"'.encode()
    for offset in (-2, -1, 0, 1):
        text = b"x" * ((16 << 20) - 1 - len(begin) + offset) + b"\r\ny"
        said, rows = annotate(begin + text + f'"\r\nJ1100,{DAY},z\r\n'.encode())
        assert said.status == 0, said.err
        assert [d.encode() for d in column(rows, "desc")] == [text, b"z"]


# Line ends, encodings, headers


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", ["", "end"])
def test_every_line_end_is_one(annotate: Annotate, newline: str, last: str) -> None:
    lines = ["code,dos,desc", *(f"J1100,{DAY},{i}" for i in range(5))]
    _, rows = annotate(newline.join(lines) + (newline if last else ""))
    assert column(rows, "desc") == list("01234")


@pytest.mark.parametrize(
    ("claims", "options"),
    [
        (lambda text: b"\xef\xbb\xbf" + text.encode(), ()),
        (lambda text: text.encode("utf-16"), ()),
        (lambda text: b"\xfe\xff" + text.encode("utf-16-be"), ()),
        (lambda text: text.encode("utf-16-le"), ()),
        (lambda text: text.encode("cp1252"), ("--encoding", "cp1252")),
        (lambda text: text.encode("latin-1"), ("--encoding", "latin-1")),
        (lambda text: b"\n" + text.encode(), ()),
        (lambda text: b"\r\n \r\n" + text.encode(), ()),
        (lambda text: b"REPORT OF JUNE\nmade by hand,\n" + text.encode(), ("--skip-lines", "2")),
        (lambda text: gzip.compress(text.encode()), ()),
        (lambda text: gzip.compress(text[:40].encode()) + gzip.compress(text[40:].encode()), ()),
        (lambda text: bz2.compress(text.encode()), ()),
    ],
)
def test_marks_encodings_and_lines_before_the_header(
    annotate: Annotate, claims: Callable[[str], bytes], options: Sequence[str]
) -> None:
    texts = ["café", "naïve", "§ 5"]
    said, rows = annotate(claims("code,dos,desc\n" + "".join(f"J1100,{DAY},{t}\n" for t in texts)), *options)
    assert said.status == 0, said.err
    assert (column(rows, "desc"), column(rows, "code")) == (texts, ["J1100"] * 3)


def test_bytes_that_are_not_utf_8_are_refused_with_their_line(annotate: Annotate) -> None:
    claims = f"code,dos,desc\nJ1100,{DAY},x\nJ1100,{DAY},caf".encode() + b"\xe9\n"
    said, _ = annotate(claims)
    assert said.status == 1
    assert "line 3: the bytes e9 are not UTF-8; name the encoding, as in --encoding cp1252" in said.err


def test_blank_lines_are_left_out_and_counted(annotate: Annotate) -> None:
    said, rows = annotate(f"code,dos\nJ1100,{DAY}\n\nJ1100,{DAY}\n\r\n\n")
    assert (len(rows), json.loads(said.out)["odd"]["blank_lines"]) == (2, 3)


@pytest.mark.parametrize("line", ["J1100", f"J1100,{DAY},x,y", f'J1100,{DAY},"x'])
def test_a_line_of_other_fields_is_refused_with_its_number(annotate: Annotate, line: str) -> None:
    lines = ["code,dos,desc", *[f'J1100,{DAY},"a, b"'] * 500, line, *[f"J1100,{DAY},c"] * 3]
    said, _ = annotate("\n".join(lines))
    assert (said.status, "c.csv: line 502: " in said.err) == (1, True), said.err


@pytest.mark.parametrize(
    "options",
    [("--delimiter", "||"), ("--quote", "''"), ("--encoding", "utf-99"), ("--escape", "none"), ("--delimiter", "none")],
)
def test_what_is_no_character_or_encoding_is_refused(annotate: Annotate, options: Sequence[str]) -> None:
    said, _ = annotate(f"code,dos\nJ1100,{DAY}\n", *options)
    assert (said.status, options[1] in said.err) == (1, True)


def test_names_with_a_pipe_do_not_make_it_the_delimiter(annotate: Annotate) -> None:
    header = (
        "description,code|1,code|1|type,code|2,standard_charge|Platform|PPO|negotiated_dollar,standard_charge|min,dos"
    )
    claims = f"{header}\nwords,J1100,HCPCS,,5.00,1,{DAY}\nmore words,99213,CPT,,7.00,2,{DAY}\n"
    said, rows = annotate(claims, "--code", "code|1")
    assert said.status == 0, said.err
    assert column(rows, "code|1") == ["J1100", "99213"]


@pytest.mark.parametrize("delimiter", [",", "\t", "|", ";", "\x01"])
def test_the_delimiter_is_that_which_all_lines_agree_on(annotate: Annotate, delimiter: str) -> None:
    rows = [["code", "dos", "a|b;c"], ["J1100", DAY, "d;;e|f|g"], ["99213", DAY, "1 | 2"]]
    text = "\n".join(delimiter.join(r if delimiter not in ";|" else [*r[:2], "plain"]) for r in rows)
    said, found = annotate(text, name="c.txt")
    assert said.status == 0, said.err
    assert column(found, "code") == ["J1100", "99213"]


def test_made_up_files_lose_no_line_whatever_is_in_them(annotate: Annotate) -> None:
    random.seed(16)
    pieces = ['"', '""', ",", "x", " ", "\n", "\r\n", "'", "é", "6 INCH", '" ', '"\n']
    for _ in range(100):
        lines = [f"{n},J1100,{DAY}," + "".join(random.choices(pieces, k=random.randint(0, 5))) for n in range(8)]
        claims = "line,code,dos,desc\n" + "\n".join(lines) + "\n"
        said, rows = annotate(claims)
        assert said.status in (0, 1)
        if said.status == 0:
            assert column(rows, "line") == [str(n) for n in range(8)], claims
        else:
            assert "c.csv: line " in said.err, said.err


def test_a_file_that_is_cut_off_is_refused(annotate: Annotate) -> None:
    text = "code,dos,desc\n" + "".join(f"J1100,{DAY},{random.random()}\n" for _ in range(60_000))
    said, _ = annotate(gzip.compress(text.encode())[:-200_000], name="c.csv.gz")
    assert (said.status, "c.csv.gz: cannot be read: " in said.err) == (1, True), said.err


_PACKED = gzip.compress(
    b"code,dos,desc\n" + b"".join(b"J1100,%s,%d\n" % (DAY.encode(), n * n * 7919) for n in range(4_000)), mtime=0
)


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (_PACKED, None),
        (_PACKED + gzip.compress(b"") + gzip.compress(f"J1100,{DAY},x\n".encode() * 9), None),
        (b"".join(gzip.compress(line) for line in gzip.decompress(_PACKED).splitlines(keepends=True)), None),
        (_PACKED[:3] + b"\x08" + _PACKED[4:10] + b"name.csv\0" + _PACKED[10:], None),
        (_PACKED[:-9_000], "Truncated compressed stream"),
        (_PACKED[:-4], "Truncated compressed stream"),
        (_PACKED + _PACKED[:5_000], "Truncated compressed stream"),
        (_PACKED + b"\0", "Truncated compressed stream"),
        (_PACKED[:2], "Truncated compressed stream"),
        (_PACKED + b"\0" * 99, "unknown compression method"),
        (_PACKED + b"no gzip, but some text", "incorrect header check"),
        (_PACKED[:-8] + b"sums" + _PACKED[-4:], "incorrect data check"),
        (_PACKED[:-4] + b"size", "incorrect length check"),
        (_PACKED[:15_000] + bytes(500) + _PACKED[15_500:], "zlib inflate failed"),
        (gzip.compress(f"code,dos\nJ1100,{DAY}\nJ1100\n".encode())[:-1] + b"!", "incorrect length check"),
    ],
    ids=lambda value: value if isinstance(value, str) else "whole" if value is None else f"{len(value)} bytes",
)
def test_a_gzip_file_is_read_or_refused_the_same_with_the_extra_and_without(
    annotate: Annotate, monkeypatch: pytest.MonkeyPatch, packed: bytes, words: str | None
) -> None:
    monkeypatch.setattr(csv_text, "_BLOCK", 1 << 14)
    monkeypatch.setattr(gzip_text, "_READ", 1 << 12)
    by_extra = annotate(packed, name="c.csv.gz")
    monkeypatch.delitem(sys.modules, "hcpcs.annotate.gzip_text")
    monkeypatch.setitem(sys.modules, "isal", None)
    without = annotate(packed, name="c.csv.gz")
    assert (by_extra[0].status, by_extra[0].err) == (without[0].status, without[0].err)
    assert by_extra[1] == without[1]
    assert by_extra[0].status == (1 if words else 0) and (words or "") in by_extra[0].err


def test_where_the_extra_gives_up_arrow_goes_on_without_a_line_twice(
    annotate: Annotate, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, rows = annotate(_PACKED, name="c.csv.gz")

    class GivesUp:
        def __init__(self, _: int) -> None:
            self._packed = zlib.decompressobj(31)
            self._calls = 0

        def decompress(self, packed: bytes, most: int) -> bytes:
            self._calls += 1
            if self._calls == 5:
                raise gzip_text.isal_zlib.error("a way to pack that it does not know")
            return self._packed.decompress(packed, most)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._packed, name)

    monkeypatch.setattr(gzip_text.isal_zlib, "decompressobj", GivesUp)
    monkeypatch.setattr(csv_text, "_BLOCK", 1 << 14)
    monkeypatch.setattr(gzip_text, "_READ", 1 << 12)
    said, again = annotate(_PACKED, name="c.csv.gz")
    assert (said.status, again) == (0, rows), said.err


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"PK\x03\x04abcd", "a zip or a workbook"),
        (b'[{"code": "J1100"}]', "JSON"),
        (b'{"code": "J1100"}\n', "JSON"),
        (b"PAR1abc", "a Parquet file"),
        (b"Obj\x01\x04\x14avro.codec", "a table of Arrow, ORC or Avro"),
        (b"ARROW1\x00\x00\xff", "a table of Arrow, ORC or Avro"),
        (b"HEADER RECORD*******LIBRARY HEADER RECORD!!!!!!!0000", "a SAS transport file"),
        (b"ISA*00*          *00*          *ZZ*A~GS*HC~ST*837*0001~", "an X12 or HL7 message"),
        (b"MSH|^~\\&|A|B\rFT1|1\r", "an X12 or HL7 message"),
        (b"<?xml version", "XML"),
        (b"", "empty"),
    ],
)
def test_a_file_that_is_no_text_is_refused_by_what_it_is(annotate: Annotate, content: bytes, kind: str) -> None:
    said, _ = annotate(content)
    assert (said.status, f"c.csv: is {kind}" in said.err) == (1, True), said.err


@pytest.mark.parametrize("content", [b"\x00" * 12 + b"\xc2\xeasas7bdat", b"SQLite format 3\x00", b"a\x1b[2J,b\n1,2\n"])
def test_bytes_of_no_text_are_not_printed_as_names(annotate: Annotate, content: bytes) -> None:
    said, _ = annotate(content)
    assert (said.status, "c.csv: line 1: is not text" in said.err) == (1, True), said.err
    assert not {"\x00", "\x1b"} & set(said.err)


def test_a_name_that_is_not_utf_8_is_refused_until_its_encoding_is_stated(annotate: Annotate) -> None:
    claims = "code,dos,caf\u00e9\nJ1100,2019-01-05,x\n".encode("cp1252")
    said, _ = annotate(claims)
    assert (said.status, "c.csv: line 1: is not UTF-8; name the encoding" in said.err) == (1, True), said.err
    assert column(annotate(claims, "--encoding", "cp1252")[1], "caf\u00e9") == ["x"]


@pytest.mark.parametrize(("mark", "encoding"), [("\ufeff", "utf-32-le"), ("\ufeff", "utf-32-be"), ("", "utf-32-le")])
def test_utf_32_is_read(annotate: Annotate, mark: str, encoding: str) -> None:
    claims = f"{mark}code,dos,text\nJ1100,{DAY},\u00e9\n".encode(encoding)
    said, rows = annotate(claims, *([] if mark else ["--encoding", encoding]))
    assert (said.status, column(rows, "text")) == (0, ["\u00e9"]), said.err


@pytest.mark.parametrize("encoding", ["zlib", "base64", "rot13", "undefined", "punycode"])
def test_what_is_no_encoding_of_text_is_refused(annotate: Annotate, encoding: str) -> None:
    said, _ = annotate(f"code,dos\nJ1100,{DAY}\n", "--encoding", encoding)
    assert (said.status, encoding in said.err.lower()) == (1, True), said.err


@pytest.mark.parametrize("option", ["--quote", "--escape"])
def test_a_delimiter_is_no_quotation_mark(annotate: Annotate, option: str) -> None:
    said, _ = annotate(f"code,dos\nJ1100,{DAY}\n", option, ",")
    assert (said.status, "cannot both divide fields and quote" in said.err) == (1, True), said.err


def test_a_mark_that_escapes_itself_is_doubled(annotate: Annotate) -> None:
    said, rows = annotate(f'code,dos,d\nJ1100,{DAY},"a ""b"" c"\n', "--quote", '"', "--escape", '"')
    assert (said.status, column(rows, "d")) == (0, ['a "b" c']), said.err


@pytest.mark.parametrize("before", ["sep=,\n", "# made in 2019\n", "Claims,,\n"])
def test_lines_before_the_header_are_named_with_the_way_out(annotate: Annotate, before: str) -> None:
    claims = f"{before}code,dos\nJ1100,{DAY}\n"
    said, _ = annotate(claims)
    assert (said.status, "--skip-lines" in said.err) == (1, True), said.err
    assert len(annotate(claims, "--skip-lines", "1")[1]) == 1


@pytest.mark.parametrize("options", [("--delimiter", "^"), ("--delimiter", "^", "--skip-lines", "0")])
def test_a_name_in_a_header_that_is_divided_otherwise_leaves_out_no_lines(
    annotate: Annotate, options: tuple[str, ...]
) -> None:
    said, _ = annotate(f"code,dos\nJ1100,{DAY}\n", *options)
    assert (said.status, "state what separates them" in said.err) == (1, True), said.err
    assert "--skip-lines" not in said.err


def test_lines_skipped_in_excess_are_named_with_the_number_to_skip(annotate: Annotate) -> None:
    said, _ = annotate(f"report\ncode,dos\nJ1100,{DAY}\nJ1100,{DAY}\n", "--skip-lines", "2")
    assert (said.status, "--skip-lines 1 reads the names of the columns there" in said.err) == (1, True), said.err


@pytest.mark.parametrize(
    ("option", "value", "said_of"),
    [
        ("--skip-lines", "1", "skip lines"),
        ("--encoding", "cp1252", "encoding"),
        ("--delimiter", "|", "delimiter"),
    ],
)
def test_what_is_said_of_text_is_not_passed_over_in_parquet(
    hcpcs: Callable[..., Said], tmp_path: Path, version: Path, option: str, value: str, said_of: str
) -> None:
    claims, out = tmp_path / "claims.parquet", tmp_path / "out.parquet"
    pq.write_table(pa.table({"code": ["J1100"], "dos": [DAY]}), claims)
    command = ("annotate", claims, out, "--code", "code", "--date", "dos", "--version", version)
    said = hcpcs(*command, option, value)
    assert (said.status, out.exists()) == (1, False)
    assert f"claims.parquet: Parquet files have no {said_of}" in said.err
    assert hcpcs(*command).status == 0


def test_a_decimal_mark_needs_the_column_of_amounts(annotate: Annotate) -> None:
    claims = f"code;dos;paid\nJ1100;{DAY};1,5\n"
    said, rows = annotate(claims, "--decimal", ",")
    assert (said.status, rows) == (2, []) and "--amount" in said.err
    assert annotate(claims, "--decimal", ",", "--amount", "paid")[0].status == 0


def test_standard_streams_are_no_files(
    annotate: Annotate, hcpcs: Callable[..., Said], tmp_path: Path, version: Path
) -> None:
    annotate(f"code,dos\nJ1100,{DAY}\n")
    for places in (("-",), (tmp_path / "c.csv", "-"), (tmp_path / "c.csv", "s3://bucket/out")):
        said = hcpcs("annotate", *places, "--code", "code", "--date", "dos", "--version", version)
        assert (said.status, f"error: {places[-1]}: " in said.err) == (1, True), said.err


@pytest.mark.parametrize(("length", "status"), [(1_000, 0), (60_000, 0), (65_000, 0), (70_000, 1)])
def test_a_text_of_many_blocks_is_read_once_it_is_whole_and_not_looked_through_with_each(
    annotate: Annotate, monkeypatch: pytest.MonkeyPatch, length: int, status: int
) -> None:
    block, longest, looked_at = 1 << 10, 1 << 16, 0
    monkeypatch.setattr(csv_text, "_BLOCK", block)
    monkeypatch.setattr(csv_text, "_LONGEST_RECORD", longest)
    start = csv_text._Scan.__init__

    def counted(scan: Any, data: bytes, dialect: Any) -> None:
        nonlocal looked_at
        looked_at += len(data)
        start(scan, data, dialect)

    text = ("x" * 60 + "\n") * (length // 61)
    claims = f'code,dos,d\nJ1100,{DAY},a\nJ1100,{DAY},"{text}"\n' + f"J1100,{DAY},b\n" * 100
    monkeypatch.setattr(csv_text._Scan, "__init__", counted)
    said, rows = annotate(claims, "--quote", '"')
    assert said.status == status, said.err
    assert status == 1 or column(rows, "d") == ["a", text, *["b"] * 100]
    assert looked_at < 12 * len(claims)  # one time for the dialect, and whenever a text had doubled, for two readings


@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_every_block_of_a_large_file_is_written_in_order(
    hcpcs: Callable[..., Said], tmp_path: Path, version: Path, name: str
) -> None:
    words = '"a, b\n' + "c" * 4_000 + '"'
    lines = 5_000  # 20 MB: five blocks in two parts
    claims = tmp_path / "c.csv"
    claims.write_text("line,code,dos,desc\n" + "".join(f"{i},J1100,{DAY},{words}\n" for i in range(lines)))
    options = ["--code", "code", "--date", "dos", "--version", version, "--json"]
    said = hcpcs("annotate", claims, tmp_path / name, *options)
    assert said.status == 0, said.err
    files = sorted((tmp_path / name).glob("*")) if name == "out" else [tmp_path / name]
    assert len(files) == (2 if name == "out" else 1)
    rows = pa.concat_tables(pq.read_table(file, columns=["line", "desc"]) for file in files).to_pylist()
    assert column(rows, "line") == [str(i) for i in range(lines)]
    assert {*column(rows, "desc")} == {words.strip('"')}


@pytest.mark.slow
def test_where_blocks_meet_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random.seed(17)
    pieces = ['"', '""', ",", "x", " ", "\n", "\r\n", "'", "é", "6 INCH", '" ', '"\n', "|"]
    path, local = tmp_path / "c.csv", pyarrow.fs.LocalFileSystem()

    def read(block: int) -> list[dict[str, Any]] | None:
        monkeypatch.setattr(csv_text, "_BLOCK", block)
        try:
            dialect = csv_text.find_dialect(local, str(path), csv_text.TextOptions())
            found = csv_text.blocks(local, str(path), dialect)
            return [row for block in found for row in block.table().to_pylist()]
        except csv_text.ClaimsUnreadable:
            return None

    for n in range(1_500):
        rows = [[str(i), "J1100", "".join(random.choices(pieces, k=random.randint(0, 4)))] for i in range(12)]
        text = io.StringIO(newline="")
        if n % 2:
            writer = csv.writer(text, quoting=random.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
            writer.writerows([["line", "code", "desc"], *rows])
        else:
            text.write("\n".join(["line,code,desc", *(",".join(row) for row in rows)]) + "\n")
        path.write_bytes(text.getvalue().encode())
        whole = read(16 << 20)
        assert read(random.choice([16, 40, 90])) == whole
        if whole is not None:
            assert column(whole, "line") == [str(i) for i in range(12)]
            assert n % 2 == 0 or [row["desc"] or "" for row in whole] == [row[2] for row in rows]
