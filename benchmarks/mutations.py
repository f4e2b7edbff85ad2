"""Ways to damage a release: pure functions of a random generator and bytes. Nothing here reads a release or judges one.

``text_…`` take a text member, ``book_…`` an .xlsx, ``old_book_…`` an .xls, ``any_…`` any member, ``zip_…`` the packed
zip; ``pack_…`` decide how members are packed.
"""

from __future__ import annotations

import io
import random
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping

from sources.code_file.record_layout import RECORD_FIELDS

Mutation = Callable[[random.Random, bytes], bytes]
Packing = Callable[[random.Random, Mapping[str, bytes], bytes], bytes]

#: Values that a field, a cell or a line may suddenly hold.
_ODD_VALUES = (
    *("00000000", "99999999", "20190230", "20191301", "19000101", "21001231", "00010101", "2019-01-01", "1/1/2019"),
    *("-1", "NaN", "1e308", "٢٠١٩٠١٠١", "２０１９０１０１", "²³", "\u00a0", "\t\t", "\x00", "\x1a", "\x0b\x0c\x1c\x85"),
    *(
        "\u2028",
        "ﬁ",
        "ß",
        "İ",
        "😀",
        "A" * 400,
        "%s{0}$(x)",
        "'; --",
        "=1+1",
        "_x000D_",
        "\ufeff",
        "é",
        "\ud7ff",
        "D0120",
    ),
    *(
        "99213",
        "0001U",
        "0001F",
        "J",
        "A00000",
        "a0001",
        "A 001",
        "  ",
        "TP",
        "1P",
        "99",
        "N",
        "R",
        "?",
        "0",
        "|",
        '"',
        "~",
    ),
)
_ODD_BYTES = (
    b"\x00",
    b"\xff",
    b"\x80",
    b"\x81",
    b"\x8d",
    b"\x9d",
    b"\xa0",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xf0\x9f",
    b"\x1a",
)
_ODD_NUMBERS = (
    0,
    1,
    2,
    7,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFE,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFE,
    0xFFFFFFFF,
)
_FIELD_STARTS = (0, 5, 8, 10, *(start for f in RECORD_FIELDS for _, start, _ in f.slices()))


# --- any bytes -------------------------------------------------------------------------------------------------------


def any_flip(chance: random.Random, data: bytes) -> bytes:
    raw = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5, 20, 200))):
        if raw:
            raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    return bytes(raw)


def any_cut(chance: random.Random, data: bytes) -> bytes:
    start, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    return chance.choice((data[:end], data[start:], data[:start] + data[end:]))


def any_repeat(chance: random.Random, data: bytes) -> bytes:
    start = chance.randrange(len(data) + 1)
    piece = data[start : start + chance.randrange(1, 2000)]
    at = chance.randrange(len(data) + 1)
    return data[:at] + piece * chance.randrange(1, 20) + data[at:]


def any_swap(chance: random.Random, data: bytes) -> bytes:
    a, b, c, d = sorted(chance.randrange(len(data) + 1) for _ in range(4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def any_zeros(chance: random.Random, data: bytes) -> bytes:
    start = chance.randrange(len(data) + 1)
    size = chance.randrange(1, 600)
    return data[:start] + bytes(len(data[start : start + size])) + data[start + size :]


def any_other_file(chance: random.Random, data: bytes) -> bytes:
    return chance.choice(
        (
            b"",
            b" ",
            b"\r\n" * 50,
            b"<!DOCTYPE html>\n<title>Sample: gone</title>",
            b"%PDF-1.7\n1 0 obj\n",
            b"\x1f\x8b\x08\x00" + data[:200],
            b"PK\x05\x06" + bytes(18),
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + data[8:4000],
            b"PK\x03\x04" + data[4:4000],
            chance.randbytes(3000),
        )
    )


# --- texts -----------------------------------------------------------------------------------------------------------


def _of_lines(change: Callable[[random.Random, list[bytes]], list[bytes]]) -> Mutation:
    def mutate(chance: random.Random, data: bytes) -> bytes:
        return b"\r\n".join(change(chance, data.split(b"\r\n")))

    return mutate


def _of_a_line(change: Callable[[random.Random, bytes], bytes]) -> Mutation:
    def mutate(chance: random.Random, data: bytes) -> bytes:
        lines = data.split(b"\r\n")
        for _ in range(chance.choice((1, 1, 3, 20))):
            at = chance.randrange(len(lines))
            lines[at] = change(chance, lines[at])
        return b"\r\n".join(lines)

    return mutate


def _drop_lines(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    share = chance.choice((0.01, 0.1, 0.5))
    return [line for line in lines if chance.random() > share]


def _repeat_lines(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    at = chance.randrange(len(lines))
    return lines[: at + 1] + lines[at : at + chance.randrange(1, 5)] + lines[at + 1 :]


def _swap_lines(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    a, b = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return lines


def _shuffle_lines(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    chance.shuffle(lines)
    return lines


def _swap_fields(chance: random.Random, line: bytes) -> bytes:
    a, b, c, d = sorted(chance.sample((*_FIELD_STARTS, 293), 4))
    return line[:a] + line[c:d] + line[b:c] + line[a:b] + line[d:]


def _shift_columns(chance: random.Random, line: bytes) -> bytes:
    at, size = chance.randrange(len(line) + 1), chance.randrange(1, 12)
    return chance.choice((line[:at] + b" " * size + line[at:], line[:at] + line[at + size :]))


def _odd_value(chance: random.Random, line: bytes) -> bytes:
    at = chance.choice(_FIELD_STARTS)
    value = chance.choice(_ODD_VALUES).encode(chance.choice(("utf-8", "cp1252")), "replace")
    return line[:at] + value + line[at + (len(value) if chance.random() < 0.7 else 0) :]


def _odd_bytes(chance: random.Random, line: bytes) -> bytes:
    at = chance.randrange(len(line) + 1)
    value = chance.choice(_ODD_BYTES)
    return line[:at] + value + line[at + len(value) :]


def _odd_code(chance: random.Random, line: bytes) -> bytes:
    code = bytes(chance.choice(b"ABJQ0129 a-") for _ in range(5))
    return chance.choice(
        (code + line[5:], line[:8] + bytes(chance.choice(b"0123456789 X") for _ in range(3)) + line[11:])
    )


def _tabs(chance: random.Random, line: bytes) -> bytes:
    at = chance.randrange(len(line) + 1)
    return line[:at] + b"\t" * chance.choice((1, 2, 50)) + line[at:]


def text_encoding(chance: random.Random, data: bytes) -> bytes:
    text = data.decode("cp1252", "replace")
    encoding = chance.choice(("utf-16", "utf-16-be", "utf-32", "utf-8-sig", "cp500", "utf-7", "cp437", "mac_roman"))
    return text.encode(encoding, "replace")


def text_line_ends(chance: random.Random, data: bytes) -> bytes:
    ends = (
        b"\n",
        b"\r",
        b"\n\r",
        b"\r\r\n",
        b"\x0b",
        b"\x0c",
        b"\x1c",
        b"\x85",
        b"\xe2\x80\xa8",
        b"",
        b"\x00",
        b"\r\n\r\n",
    )
    return data.replace(b"\r\n", chance.choice(ends))


def text_blank(chance: random.Random, data: bytes) -> bytes:
    """One field is blank, or one value, on every line: what no record states, none has a column for."""
    a, b = sorted(chance.sample((*_FIELD_STARTS, 293), 2))
    filler = chance.choice((b" ", b"0", b"9", b"X", b"~"))
    return b"\r\n".join(line[:a] + filler * len(line[a:b]) + line[b:] for line in data.split(b"\r\n"))


def text_case(chance: random.Random, data: bytes) -> bytes:
    return chance.choice((data.lower(), data.upper(), data.swapcase()))


def text_long_line(chance: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\r\n")
    at = chance.randrange(len(lines))
    lines[at] += chance.choice((b" ", b"x", b"\t")) * chance.choice((1000, 2_000_000))
    return b"\r\n".join(lines)


def text_continuations(chance: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\r\n")
    at = chance.randrange(len(lines))
    more = [lines[at][:5] + b"%03d00" % (n % 1000) + b"4" + b"words " * 13 for n in range(chance.choice((2, 5000)))]
    return b"\r\n".join([*lines[: at + 1], *more, *lines[at + 1 :]])


# --- workbooks since 2007, which are zips of XML ---------------------------------------------------------------------


def _parts(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as book:
        return {name: book.read(name) for name in book.namelist()}


def _book(parts: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as book:
        for name, part in parts.items():
            book.writestr(zipfile.ZipInfo(name), part, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _of_a_part(change: Mutation, pattern: str = "") -> Mutation:
    def mutate(chance: random.Random, data: bytes) -> bytes:
        try:
            parts = _parts(data)
        except Exception:  # whatever an earlier mutation makes of it
            return any_flip(chance, data)
        names = [name for name in parts if re.search(pattern, name)]
        if not names:
            return any_flip(chance, data)
        name = chance.choice(names)
        parts[name] = change(chance, parts[name])
        return _book(parts)

    return mutate


def _replace_one(pattern: bytes, value: Callable[[random.Random], bytes]) -> Mutation:
    def mutate(chance: random.Random, part: bytes) -> bytes:
        found = list(re.finditer(pattern, part))
        for match in sorted(chance.sample(found, min(len(found), chance.choice((1, 1, 5)))), key=lambda m: -m.start(1)):
            part = part[: match.start(1)] + value(chance) + part[match.end(1) :]
        return part

    return mutate


def _cell_place(chance: random.Random) -> bytes:
    places = (
        b"XFD1048576",
        b"A1048577",
        b"ZZZZZZ9",
        b"A0",
        b"A-1",
        b"A99999999999",
        b"1A",
        b"",
        b"AZ900000",
        b"B2",
        b"$A$1",
    )
    return chance.choice(places)


def _odd_number(chance: random.Random) -> bytes:
    numbers = (
        b"-1",
        b"0",
        b"99999999",
        b"4294967295",
        b"18446744073709551615",
        b"1e308",
        b"NaN",
        b"",
        b"x",
        b"2958466",
    )
    return chance.choice((*numbers, b"-693594", b"0.5", b"43466", b"1E400", b"9" * 400))


def _cell_type(chance: random.Random) -> bytes:
    return chance.choice((b"s", b"n", b"e", b"b", b"d", b"str", b"inlineStr", b"q", b""))


def _cell_text(chance: random.Random) -> bytes:
    text = chance.choice((*_ODD_VALUES, "HCPC", "HCPCS", "RECID", "PRICE9", "TOS0", "LONG DESCRIPTION", "x" * 40_000))
    return text.encode("utf-8", "replace").replace(b"&", b"&amp;").replace(b"<", b"&lt;")


def _bomb(chance: random.Random, part: bytes) -> bytes:
    levels = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
    doctype = b'<!DOCTYPE x [<!ENTITY l0 "lol">' + levels + b"]>"
    return part.replace(b"?>", b"?>" + doctype, 1).replace(b"<t>", b"<t>&l9;", 1).replace(b"<v>", b"<v>&l9;", 1)


def _nest(chance: random.Random, part: bytes) -> bytes:
    at = part.find(b">", chance.randrange(len(part) or 1)) + 1
    return part[:at] + b"<a>" * chance.choice((3, 50_000)) + part[at:]


def _rows(change: Callable[[random.Random, list[bytes]], list[bytes]]) -> Mutation:
    def mutate(chance: random.Random, part: bytes) -> bytes:
        head, *rows = part.split(b"<row ")
        return b"<row ".join([head, *change(chance, rows)]) if rows else part

    return mutate


def book_without_part(chance: random.Random, data: bytes) -> bytes:
    try:
        parts = _parts(data)
    except Exception:
        return any_cut(chance, data)
    names = list(parts)
    lost, other = chance.choice(names), chance.choice(names)
    parts[other] = chance.choice((parts[lost], parts[other], b""))
    if chance.random() < 0.7:
        del parts[lost]
    return _book(parts)


# --- workbooks until 2003, which are records in a compound file ------------------------------------------------------


def old_book_number(chance: random.Random, data: bytes) -> bytes:
    """A number of the compound file's header, sector table or directory."""
    raw = bytearray(data)
    at = chance.choice((chance.randrange(0, 128), chance.randrange(0, 2048), chance.randrange(len(raw)))) & ~3
    if at + 4 <= len(raw):
        struct.pack_into("<I", raw, at, chance.choice((*_ODD_NUMBERS, chance.randrange(64), chance.getrandbits(32))))
    return bytes(raw)


def old_book_loop(chance: random.Random, data: bytes) -> bytes:
    """A chain of sectors that comes back to where it was."""
    raw = bytearray(data)
    entry = chance.randrange(min(len(raw) - 512, 16384) // 4)
    if len(raw) >= 516 + 4 * entry:
        struct.pack_into("<I", raw, 512 + 4 * entry, chance.randrange(max(1, min(entry, 64))))
    return bytes(raw)


def old_book_record(chance: random.Random, data: bytes) -> bytes:
    """The number, length, row, column or counts of a record of the workbook."""
    raw = bytearray(data)
    at = raw.find(b"\x09\x08\x10\x00")
    places = []
    while at >= 0 and at + 4 <= len(raw) and len(places) < 3000:
        places.append(at)
        at += 4 + struct.unpack_from("<H", raw, at + 2)[0]
    if not places:
        return any_flip(chance, data)
    for _ in range(chance.choice((1, 1, 4))):
        at = chance.choice((chance.choice(places), places[min(len(places) - 1, chance.randrange(8))]))
        at += chance.choice((0, 2, 4, 6, 8, 10, 12))
        if at + 2 <= len(raw):
            struct.pack_into("<H", raw, at, chance.choice((*_ODD_NUMBERS[:11], chance.getrandbits(16))) & 0xFFFF)
    return bytes(raw)


# --- the zip ---------------------------------------------------------------------------------------------------------


def _packed(members: Mapping[str, bytes], comment: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two members of one name
        archive.comment = comment
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()


def pack_plainly(chance: random.Random, members: Mapping[str, bytes], comment: bytes) -> bytes:
    return _packed(members, comment)


def pack_odd_names(chance: random.Random, members: Mapping[str, bytes], comment: bytes) -> bytes:
    odd = (
        "../a.txt",
        "/etc/a",
        "a\\..\\b",
        "C:a",
        " ",
        "x" * 300,
        "\x1b[31mred",
        "ü",
        "CON",
        ".zip",
        "folder/",
        "a\nb",
        "2019-01",
    )
    odd += (
        "HCPC2019_ANWEB.txt",
        "july-2031.txt",
        "anweb.txt",
        "anweb_v9.txt",
        "anweb_v2.xlsx",
        "😀.txt",
        "a" * 60_000,
        "\ud7ff",
    )
    renamed: list[tuple[str, bytes]] = []
    for name, data in members.items():
        renamed.append((chance.choice(odd) if chance.random() < 0.5 else name, data))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.comment = comment
        for name, data in renamed:
            archive.writestr(zipfile.ZipInfo(name), data)
    packed = buffer.getvalue()
    if chance.random() < 0.3:  # names that are no text, or end early
        name = next(iter(members)).encode()
        packed = packed.replace(name, bytes(chance.choice((0, 0xFF, 0x80, 0x2F, 0x0A)) for _ in name))
    return packed


def pack_other_roles(chance: random.Random, members: Mapping[str, bytes], comment: bytes) -> bytes:
    """Members' names go round: a workbook is named like a text, notes like a workbook."""
    names = list(members)
    chance.shuffle(names)
    return _packed(dict(zip(names, members.values(), strict=True)), comment)


def pack_nested(chance: random.Random, members: Mapping[str, bytes], comment: bytes) -> bytes:
    inner = _packed(members, b"")
    for _ in range(chance.choice((0, 1, 30))):
        inner = _packed({"anweb.zip": inner}, b"")
    name = chance.choice(("anweb.zip", "HCPC_ANWEB.xlsx", "anweb.txt", "proc_notes.txt"))
    return _packed((dict(members) if chance.random() < 0.5 else {}) | {name: inner}, comment)


def pack_bomb(chance: random.Random, members: Mapping[str, bytes], comment: bytes) -> bytes:
    filler = chance.choice((b" ", b"\0", b"\r\n", b"A0001001003" + b" " * 309 + b"\r\n"))
    big = filler * (chance.choice((2, 30)) * 1024**2 // len(filler))
    inside = _packed({"xl/worksheets/sheet1.xml": big}, b"")
    name, data = chance.choice((("anweb.txt", big), ("HCPC_ANWEB.xlsx", inside), ("proc_notes.txt", big)))
    return _packed(dict(members) | {name: data}, comment)


def pack_many(chance: random.Random, members: Mapping[str, bytes], comment: bytes) -> bytes:
    count = chance.choice((5, 190, 260, 5000))
    return _packed(dict(members) | {f"member {n}.txt": b"Sample %d" % n for n in range(count)}, comment)


def pack_twice(chance: random.Random, members: Mapping[str, bytes], comment: bytes) -> bytes:
    """Every member has a twin that is damaged, under a name of the same role."""
    twins = {re.sub(r"(\.\w+)$", r"_v9\1", name): any_flip(chance, data) for name, data in members.items()}
    return _packed(dict(members) | twins, comment)


def pack_other_method(chance: random.Random, members: Mapping[str, bytes], comment: bytes) -> bytes:
    packed = _packed(members, comment, chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))
    if chance.random() < 0.5:
        raw, unknown = bytearray(packed), chance.choice((1, 6, 9, 12, 14, 93, 95, 99, 0xFFFF))
        for header, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
            for match in re.finditer(re.escape(header), packed):
                if match.start() + offset + 2 <= len(raw):
                    struct.pack_into("<H", raw, match.start() + offset, unknown)
        packed = bytes(raw)
    return packed


def zip_number(chance: random.Random, data: bytes) -> bytes:
    """A number in a header of a member, of the directory, or of the directory's end."""
    headers = [m.start() for m in re.finditer(rb"PK(?:\x03\x04|\x01\x02|\x05\x06)", data)]
    if not headers:
        return any_flip(chance, data)
    raw = bytearray(data)
    for _ in range(chance.choice((1, 1, 3))):
        at = chance.choice(headers) + chance.randrange(4, 46, 2)
        form = chance.choice(("<H", "<I"))
        if at + struct.calcsize(form) <= len(raw):
            value = chance.choice((*_ODD_NUMBERS, chance.randrange(3000), chance.getrandbits(32)))
            struct.pack_into(form, raw, at, value & (0xFFFF if form == "<H" else 0xFFFFFFFF))
    return bytes(raw)


def zip_around(chance: random.Random, data: bytes) -> bytes:
    junk = chance.choice(
        (b"\0" * 100, b"junk", data, data[: len(data) // 2], b"PK\x05\x06" + bytes(18), chance.randbytes(300))
    )
    return chance.choice((junk + data, data + junk, junk + data + junk))


ANY: dict[str, Mutation] = {
    "bytes flipped": any_flip,
    "cut": any_cut,
    "a piece repeated": any_repeat,
    "pieces swapped": any_swap,
    "zeros": any_zeros,
    "another file": any_other_file,
}
TEXT: dict[str, Mutation] = {
    "lines dropped": _of_lines(_drop_lines),
    "lines repeated": _of_lines(_repeat_lines),
    "lines swapped": _of_lines(_swap_lines),
    "lines shuffled": _of_lines(_shuffle_lines),
    "fields shuffled": _of_a_line(_swap_fields),
    "columns shifted": _of_a_line(_shift_columns),
    "odd values": _of_a_line(_odd_value),
    "odd bytes": _of_a_line(_odd_bytes),
    "odd codes": _of_a_line(_odd_code),
    "tabs": _of_a_line(_tabs),
    "another encoding": text_encoding,
    "other line ends": text_line_ends,
    "a field the same everywhere": text_blank,
    "another case": text_case,
    "a long line": text_long_line,
    "many continuations": text_continuations,
}
BOOK: dict[str, Mutation] = {
    "a part's bytes flipped": _of_a_part(any_flip),
    "a part cut": _of_a_part(any_cut),
    "a part's pieces swapped": _of_a_part(any_swap),
    "a part lost": book_without_part,
    "a cell elsewhere": _of_a_part(_replace_one(rb'<c r="([^"]*)"', _cell_place), "sheet"),
    "a row elsewhere": _of_a_part(_replace_one(rb'<row r="([^"]*)"', _odd_number), "sheet"),
    "another dimension": _of_a_part(_replace_one(rb'<dimension ref="[A-Z]+\d+:([^"]*)"', _cell_place), "sheet"),
    "an odd number": _of_a_part(_replace_one(rb"<v>([^<]*)</v>", _odd_number), "sheet"),
    "another type": _of_a_part(_replace_one(rb' t="([^"]*)"', _cell_type), "sheet"),
    "an odd text": _of_a_part(_replace_one(rb"<t[^>]*>([^<]*)</t>", _cell_text), "sharedStrings"),
    "another count": _of_a_part(_replace_one(rb'ount="([^"]*)"', _odd_number)),
    "rows dropped": _of_a_part(_rows(_drop_lines), "sheet"),
    "rows repeated": _of_a_part(_rows(_repeat_lines), "sheet"),
    "rows shuffled": _of_a_part(_rows(_shuffle_lines), "sheet"),
    "an XML bomb": _of_a_part(_bomb),
    "deep XML": _of_a_part(_nest),
}
OLD_BOOK: dict[str, Mutation] = {
    "a sector's number": old_book_number,
    "a loop of sectors": old_book_loop,
    "a record's number": old_book_record,
}
PACK: dict[str, Packing] = {
    "odd names": pack_odd_names,
    "names swapped": pack_other_roles,
    "nested": pack_nested,
    "a bomb": pack_bomb,
    "many members": pack_many,
    "damaged twins": pack_twice,
    "another method": pack_other_method,
}
ZIP: dict[str, Mutation] = {
    "a header's number": zip_number,
    "bytes around it": zip_around,
    "bytes flipped": any_flip,
    "cut": any_cut,
    "a piece repeated": any_repeat,
    "zeros": any_zeros,
    "another file": any_other_file,
}
