"""The gate refuses every leak planted by hand, names the place, and lets what may be published pass."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow
import pyarrow.parquet
import pytest
from conftest import Version

from pipeline.license_gate.as_read import as_read
from pipeline.license_gate.check import check_version, inspect_version, withheld_texts
from pipeline.license_gate.pages import are_harmless
from pipeline.license_gate.report import GateReport, LicenseLeak
from pipeline.license_gate.tokens import TOKEN
from pipeline.transforms.license_flags import masked
from pipeline.versions.parquet import write_published_table
from schemas.registry import contract, contracts
from sources.curated.license_policy import load_license_policy

Rows = list[dict[str, Any]]
SENTENCE = "Sample status three"


@pytest.fixture
def folder(sample: Version, tmp_path: Path) -> Path:
    """A copy of the published sample, for one test to spoil."""
    return shutil.copytree(sample.outputs.latest_link.resolve(), tmp_path / "version")


def look(folder: Path, *, also: tuple[str, ...] = (), forbidden: tuple[str, ...] = ()) -> GateReport:
    listed = json.loads((folder / "manifest.json").read_text())
    files = [*listed["content"]["files"], *listed["build"].get("files", {}), *also]
    return inspect_version(folder, load_license_policy(), files, forbidden_texts=forbidden)


def spoil(folder: Path, table: str, change: Callable[[Rows], None]) -> None:
    """Write a table again with its rows changed, its schema and metadata as they were."""
    path = folder / "open" / f"{table}.parquet"
    whole = pyarrow.parquet.read_table(path)
    rows = whole.to_pylist()
    change(rows)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=whole.schema), path)


def respell(folder: Path, table: str, change: Callable[[pyarrow.Schema], pyarrow.Schema]) -> None:
    path = folder / "open" / f"{table}.parquet"
    whole = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(whole.cast(change(whole.schema)), path)


def written(folder: Path, files: list[tuple[str, str]]) -> tuple[str, ...]:
    """Write files of any names, each in a folder of its own; returns their paths in the version."""
    names = tuple(f"{number}/{name}" for number, (name, _) in enumerate(files))
    for file, (_, content) in zip(names, files, strict=True):
        (folder / file).parent.mkdir(parents=True)
        (folder / file).write_text(content, "utf-8")
    return names


def only_leak(report: GateReport) -> tuple[str, str, str, str]:
    assert len(report.leaks) == 1, report.leaks
    leak = report.leaks[0]
    return leak.table, leak.column, leak.key, leak.token


def test_the_sample_passes_and_says_what_was_kept(folder: Path) -> None:
    report = look(folder)
    assert report.leaks == ()
    assert report.files == sum(p.is_file() for p in folder.rglob("*"))
    assert report.kept["hcpcs_codes", "long_description", "cites_cpt_or_cdt"] > 0
    assert report.kept["code_sections", "first_code", "names_cpt_or_cdt_code"] > 40


#: Table, column, a value with a code in it, and the code as the gate names it.
PLANTED: list[tuple[str, str, Any, str]] = [
    ("hcpcs_notes", "note_text", "Sample: bill 99213 beside it.", "99213"),
    ("hcpcs_notes", "note_text", "Sample: as in dentistry (D0120).", "D0120"),
    ("data_dictionary", "description", "Such as 0042T.", "0042T"),
    ("hcpcs_crosswalk", "target", "99213", "99213"),
    ("hcpcs_crosswalk", "chain_ends", ["J1100", "99213"], "99213"),
    ("hcpcs_codes", "crosswalk_targets", ["4004F"], "4004F"),
    ("hcpcs_codes", "replaced_by", ["0001U"], "0001U"),
    ("hcpcs_findings", "raw_value", "99213", "99213"),
    ("hcpcs_findings", "message", "'99213' is no date", "99213"),
    ("hcpcs_findings", "examples", ["line 3", "99213-25"], "99213"),
    ("hcpcs_corrections", "comment", "Sample: use CPT 99213/99214", "99213"),
    ("hcpcs_changes", "old", '["99213"]', "99213"),
    ("hcpcs_changes", "new", "99213", "99213"),
    ("hcpcs_releases", "member_names", ["codes_99213_99214.txt"], "99213"),
    ("code_systems", "describes", "Sample: like 0583t", "0583t"),
    ("code_systems", "describes", "Sample: like CPT99213", "99213"),
    ("code_sections", "name", "Sample: 99213", "99213"),
    ("hcpcs_codes", "betos_code", "0001A", "0001A"),
    ("hcpcs_codes", "statute_ref", "Sample: see 99213", "99213"),
]


def test_a_code_in_a_table_is_refused_with_its_place(folder: Path) -> None:
    """All in one version, since the gate reads each version whole; each in a row of its own."""
    tables = {table for table, *_ in PLANTED}
    places = {}
    for table in tables:
        path = folder / "open" / f"{table}.parquet"
        key = json.loads(pyarrow.parquet.read_schema(path).metadata[b"hcpcs.primary_key"])
        whole = pyarrow.parquet.read_table(path)
        rows = whole.to_pylist()
        for number, (_, column, value, token) in enumerate(one for one in PLANTED if one[0] == table):
            rows[number][column] = value
            if table == "hcpcs_changes":
                rows[number]["field"] = "crosswalk_targets"
            places[table, column, ", ".join(f"{k}={rows[number][k]}" for k in key)] = token
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=whole.schema), path)
    leaks = look(folder).leaks
    found = {(leak.table, leak.column, leak.key, leak.token) for leak in leaks}
    assert {place[:3] for place in found} == set(places)
    assert {(*place, token) for place, token in places.items()} <= found


def test_a_citation_in_a_description_passes_only_where_the_row_is_flagged(folder: Path) -> None:
    def cite(rows: Rows, flagged: bool) -> None:
        rows[0].update(long_description="Sample: told beside 99213", cites_cpt=flagged)

    spoil(folder, "hcpcs_codes", lambda rows: cite(rows, True))
    assert look(folder).leaks == ()
    spoil(folder, "hcpcs_codes", lambda rows: cite(rows, False))
    table, column, key, token = only_leak(look(folder))
    assert (table, column, token) == ("hcpcs_codes", "long_description", "99213")
    assert key.startswith("code=")


def test_a_description_that_is_nothing_but_a_code_is_refused(folder: Path) -> None:
    spoil(folder, "hcpcs_codes", lambda rows: rows[0].update(long_description="99213", cites_cpt=True))
    assert only_leak(look(folder))[3] == "99213"


@pytest.mark.parametrize("column", ["short_description", "long_description"])
def test_the_text_of_a_cpt_modifier_is_refused(folder: Path, column: str) -> None:
    def plant(rows: Rows) -> None:
        next(row for row in rows if row["code"] == "P3")[column] = "Words"

    spoil(folder, "hcpcs_modifiers", plant)
    table, where, key, token = only_leak(look(folder))
    assert (table, where, token) == ("hcpcs_modifiers", column, "Words")
    assert key.startswith("code=P3")


@pytest.mark.parametrize("code", ["D0120", "99213", "0042T"])
def test_the_text_of_a_code_of_others_is_refused_though_its_number_is_a_key(folder: Path, code: str) -> None:
    flags = {"code": code, "redistribution": "withheld", "crosswalk_targets": [], "withheld_fields": []}
    bare = flags | {"short_description": None, "long_description": None}
    spoil(folder, "hcpcs_codes", lambda rows: rows[0].update(bare))
    assert look(folder).leaks == ()
    # A citation may be kept in CMS's own rows, not in this one.
    spoil(folder, "hcpcs_codes", lambda rows: rows[0].update(long_description="Sample: all of it", cites_cpt=True))
    assert only_leak(look(folder))[1] == "long_description"


def test_a_number_in_words_about_a_code_of_others_is_no_citation_that_may_stand(folder: Path) -> None:
    row = {"code": "D0120", "redistribution": "withheld", "crosswalk_targets": [], "withheld_fields": []}
    row |= {"short_description": None, "long_description": "Sample: beside 99213", "cites_cpt": True}
    spoil(folder, "hcpcs_codes", lambda rows: rows[0].update(row))
    assert {leak.token for leak in look(folder).leaks} == {"99213", "Sample: beside 99213"}


def test_a_row_of_others_must_be_marked_withheld(folder: Path) -> None:
    spoil(
        folder,
        "hcpcs_modifiers",
        lambda rows: next(row for row in rows if row["code"] == "P1").update(redistribution="open"),
    )
    assert only_leak(look(folder))[1] == "redistribution"


def test_a_change_that_quotes_the_text_of_a_cpt_modifier_is_refused(folder: Path) -> None:
    def plant(rows: Rows) -> None:
        rows[0].update(code="P2", kind="modifier", field="long_description", new="Words", redistribution="withheld")

    spoil(folder, "hcpcs_changes", plant)
    assert ("new", "Words") in {(leak.column, leak.token) for leak in look(folder).leaks}


def test_codes_in_metadata_and_names_are_refused(folder: Path) -> None:
    def in_file(schema: pyarrow.Schema) -> pyarrow.Schema:
        return schema.with_metadata(schema.metadata | {b"note": b"as 99213"})

    def in_json(schema: pyarrow.Schema) -> pyarrow.Schema:
        return schema.with_metadata(schema.metadata | {b"note": b'{"rows": 12345, "like": "0042T"}'})

    def in_field(schema: pyarrow.Schema) -> pyarrow.Schema:
        return schema.set(0, schema.field(0).with_metadata({b"description": b"such as D0120"}))

    def in_name(schema: pyarrow.Schema) -> pyarrow.Schema:
        return schema.set(0, schema.field(0).with_name("code_99213"))

    for table, change, token in [
        ("licenses", in_file, "99213"),
        ("hcpcs_notes", in_json, "0042T"),
        ("hcpcs_releases", in_field, "D0120"),
    ]:
        respell(folder, table, change)
        leaks = look(folder).leaks
        assert {leak.token for leak in leaks if leak.table == table} == {token}
        assert all("metadata" in leak.column for leak in leaks)
    whole = pyarrow.parquet.read_table(folder / "open" / "licenses.parquet")
    pyarrow.parquet.write_table(
        whole.rename_columns(["code_99213", *whole.column_names[1:]]), folder / "open" / "licenses.parquet"
    )
    assert "99213" in {leak.token for leak in look(folder).leaks if leak.column == "code_99213"}


#: Files with 99213 in them.
PLAIN = [
    ("CHANGES.md", "# Changes\n\n- J1100 now points to 99213.\n"),
    ("LICENSES/Another.txt", "codes such as\n99213\n"),
    ("datapackage.json", '{"resources": [{"description": "see 99213"}]}'),
    ("datapackage.json", '{"99213": 1}'),
    ("datapackage.json", '{"a": "99213", "a": "hidden by its twin"}'),
    ("rows.csv", "code,target\nJ1100,99213\n"),
    ("page.html", "<p>goes to 99<b>2</b>13</p>"),
    ("page.html", "<p>goes to &#57;9213</p>"),
    ("page.html", '<img alt="99213">'),
    ("page.html", "<!-- 99213 -->"),
    ("page.html", '<script>const to = "99213";</script>'),
    ("page.html", '<script type="application/json">{"to": "99213"}</script>'),
    ("graph.svg", "<svg><title>99213</title></svg>"),
    ("graph.svg", "<svg><text><tspan>992</tspan><tspan>13</tspan></text></svg>"),
    ("search.js", "const codes = ['99213'];"),
    ("search.js", "// such as 99213"),
]

#: Ways to write 99213 that a person reads as it on a page.
DISGUISED = [
    ("search.js", "const codes = ['99\\u200b213'];"),
    ("search.js", r"const codes = ['\u0026#57;9213'];"),
    ("search.js", r"const codes = ['99%32%31%33'];"),
    ("CHANGES.md", "as &#57;9213 says\n"),
    ("CHANGES.md", "as &#x39;9213 says\n"),
    ("CHANGES.md", "as &amp;#57;9213 says\n"),
    ("CHANGES.md", r"as \u00399213 says"),
    ("CHANGES.md", "see https://example.org/?code=99%32%31%33\n"),
    ("CHANGES.md", "see https://example.org/?code=99%2532%2531%2533\n"),
    ("CHANGES.md", "as ９９２１３ says\n"),
    ("CHANGES.md", "as ٩٩٢١٣ says\n"),
    ("CHANGES.md", "as ⁹⁹²¹³ says\n"),
    ("CHANGES.md", "as 𝟗𝟗𝟐𝟏𝟑 says\n"),
    ("CHANGES.md", "as 99\u200b213 says\n"),
    ("CHANGES.md", "as 99\u00ad213 says\n"),
    ("CHANGES.md", "as 99\u2060\ufeff213 says\n"),
    ("CHANGES.md", "as 9\u03329\u0332213 says\n"),
    ("CHANGES.md", "as <b>992</b>13 says\n"),
    ("CHANGES.md", "as 992<!-- -->13 says\n"),
    ("datapackage.json", r'{"description": "see \uff19\uff19213"}'),
    ("datapackage.json", r'{"description": "see 99&shy;213"}'),
    ("rows.csv", "code,target\nJ1100,99&zwnj;213\n"),
    ("page.html", "<p>goes to <label>992</label><my-tag>13</my-tag></p>"),
    ("page.html", "<!-- &#57;9213 -->"),
    ("page.html", "<p title='99&shy;213'>"),
    ("page.html", "<style>p::after { content: '99213' }</style>"),
    ("page.html", "<style>p::after { content: '992' '13' }</style>"),
    ("page.html", r"<style>p::after { content: '\39 \39 213' }</style>"),
    ("page.html", "<style>/* 99213 */</style>"),
    ("page.html", "<style>.of-99213 { color: red }</style>"),
    ("page.html", "<p style=\"--shown: '99213'\">"),
    ("page.html", "<!DOCTYPE html [99213]>"),
    ("style.css", "a::before { content: '99213' }"),
    ("style.css", "@import url(/of/99213.css);"),
    ("graph.svg", "<svg><text><![CDATA[99213]]></text></svg>"),
    ("graph.svg", "<svg><text>992<![CDATA[13]]></text></svg>"),
    ("graph.svg", "<svg><text><textPath>992</textPath><a>13</a></text></svg>"),
    ("graph.svg", "<svg><style><![CDATA[text::after { content: '99213' }]]></style></svg>"),
    ("graph.xml", "<?note 99213?><a/>"),
]


def test_a_code_in_any_other_file_is_refused_however_it_is_written(folder: Path) -> None:
    """All in one version, since the gate reads each version whole."""
    files = written(folder, [*PLAIN, *DISGUISED])
    assert [(leak.table, leak.token) for leak in look(folder, also=files).leaks] == [
        (f, "99213") for f in sorted(files)
    ]


#: Files with numbers that are no codes.
NUMBERS = [
    ("datapackage.json", '{"bytes": 99213, "hash": "4879bea67b43e277", "path": "a-1234567.txt"}'),
    ("CHANGES.md", "2025-10-01: 12,345 rows, version 2025.10.12, 01/02/2025, 1000u, NOC, $1.50, P1-P6\n"),
    ("graph.svg", '<svg viewBox="0 0 99213 99214"><path d="M 10004 20005 L 30006 40007"/></svg>'),
    ("page.html", "<td>123</td><td>45</td><script>let n = 99213;</script><style>a {order: 10004}</style>"),
    ("search.js", "const width = 99213;"),
    ("style.css", "a { order: 10004; z-index:99999; margin: 10004px; color: #d0120f }"),
    ("CHANGES.md", "<td>123</td><td>45</td>, 1000½, 50%20 of 12%25, a&b;, ratio 3 < 5 and 9 > 8\n"),
    # The end of a CDATA section that none began is seen, as any mark between two numbers.
    ("page.html", "<p>99]]&gt;213</p>"),
]


#: A code as a page can write it; each is put behind the page's heading.
DISGUISES = (
    *("<p>99213</p>", "<p>see cpt99213</p>", "<p>0042t</p>", "<p>D0120</p>", '<p title="99213">', "<!-- 99213 -->"),
    *(
        "<p>99<b>213</b></p>",
        "<p>99<wbr>213</p>",
        "<p><B>99</B>213</p>",
        "<p>99<a\n>213</a></p>",
        "<p>99<!---->213</p>",
    ),
    *("<p>99<x-y>213</x-y></p>", "<p>99<a title='>'>213</a></p>", '<p>99<a title="&gt;">213</a></p>'),
    *(
        "<p>9&#57;213</p>",
        "<p>9&amp;#57;213</p>",
        "<p>99&shy;213</p>",
        "<p>99&lt;b&gt;213</p>",
        "<p>99&ZeroWidthSpace;213</p>",
    ),
    *(
        "<p>99\u200b213</p>",
        "<p>99\u00ad213</p>",
        "<p>\uff19\uff19\uff12\uff11\uff13</p>",
        "<p>99%32%31%33</p>",
        "<p>99%<b>32</b>13</p>",
        "<p>9&amp;<b>#57;</b>213</p>",
        "<p>a&amp;b 99&amp;shy<b>213</b></p>",
        "<p>99&amp;s<i>hy</i>213</p>",
    ),
    *(
        "<style>p::before{content:'99' '213'}</style>",
        "<p style=\"--a: '99' '213'\">",
        "<p style=\"--a: '\\39 9213'\">",
    ),
    *('<script>var a = "\\n99213"</script>', '<script>var a = "\\x399213"</script>', "<svg><text>99213</text></svg>"),
    '<script type="application/json">{"code": "25", "display": "Words about it"}</script>',
)


def test_a_code_in_any_page_of_the_catalog_is_refused_however_it_is_written(
    sample: Version, sample_catalog: Path, tmp_path: Path
) -> None:
    kinds = ["index.html", "licenses.html", "codes/J0570.html", "codes/section-J.html", "lineage.html"]
    pages = {kind.replace("/", "-"): (sample_catalog / kind).read_text() for kind in kinds}
    pages["changes.atom.xml"] = (sample.folder / "changes.atom.xml").read_text()
    spoiled = {
        f"{number}-{name}": page.replace(end := "</h1>" if "</h1>" in page else "</title>", f"{end}{disguise}", 1)
        for name, page in pages.items()
        for number, disguise in enumerate(DISGUISES)
    }
    for name, page in (pages | spoiled).items():
        (tmp_path / name).write_text(page)
    in_data = [
        *(
            '"99213"',
            '"99<b>213</b>"',
            '"9&#57;213"',
            r'"\n99213"',
            r'"\t99213"',
            '"99\u200b213"',
            r'"as \"99213\" says"',
            r'"a\\","99213"',
        ),
        *(r'"\x399213"', r'"\u00399213"', "'99213'", "`99213`", "/* 99213 */0", "0\n// 99213\n"),
    ]
    for quote in "'\"":
        for number, text in enumerate(in_data):
            name = f"{number}-{'data' if quote == chr(34) else 'script'}.js"
            spoiled[name] = "window.hcpcs=[" + f"{quote}a text of ours{quote}, " * 300 + f"{text}];"
            (tmp_path / name).write_text(spoiled[name])
    report = inspect_version(tmp_path, load_license_policy(), [*pages, *spoiled])
    assert {leak.table for leak in report.leaks} == spoiled.keys()


def test_scripts_of_data_are_read_together_and_each_is_refused_by_its_own_lines(tmp_path: Path) -> None:
    scripts = {
        "a.js": b'window.a=["words","99213"];\n',
        "b.js": b'window.b=["words",\n"words\\tand 99213","99213","99213"];\n',
        "c.js": b'window.c=["\xff"];\n',
        "d.js": b'window.d=["words"];\n',
    }
    for name, content in scripts.items():
        (tmp_path / name).write_bytes(content)
    leaks = inspect_version(tmp_path, load_license_policy(), scripts).leaks
    assert [(leak.table, leak.key, leak.token) for leak in leaks] == [
        *(("a.js", "line 1", "99213"), ("b.js", "line 2", "99213"), ("b.js", "line 2", "99213")),
        ("c.js", "", ""),
    ]
    assert "cannot be read as js, so not checked" in str(leaks[-1])


def test_a_mark_that_does_not_make_a_page_odd_parts_what_is_around_it() -> None:
    others = [chr(n) for n in range(0x80, 0x30000) if not 0xD800 <= n < 0xE000]
    pages = pl.Series([f"<p>99{c}213</p>".encode() for c in others], dtype=pl.Binary)
    harmless = [c for c, is_harmless in zip(others, are_harmless(pages), strict=True) if is_harmless]
    assert 0 < len(harmless) < 20
    assert all(not as_read(f"99{c}213").replace(".", " ").isalnum() for c in harmless)
    assert not any(TOKEN.search(as_read(f"99{c}213")) for c in harmless)


def test_numbers_dates_and_hashes_are_no_codes(folder: Path) -> None:
    assert look(folder, also=written(folder, NUMBERS)).leaks == ()


def test_a_code_in_a_table_or_its_metadata_is_read_as_a_person_reads_it(folder: Path) -> None:
    spelled = ["９９２１３", "99\u00ad213", "&#57;9213", "99%32%31%33", "99<i>213</i>"]

    def plant(rows: Rows) -> None:
        for row, text in zip(rows, spelled, strict=False):
            row["note_text"] = f"Sample: bill {text} beside it."

    notes = {f"note {number}".encode(): f"as {text}".encode() for number, text in enumerate(spelled)}
    spoil(folder, "hcpcs_notes", plant)
    respell(folder, "licenses", lambda s: s.with_metadata(s.metadata | notes))
    leaks = look(folder).leaks
    assert {(leak.table, leak.token) for leak in leaks} == {("hcpcs_notes", "99213"), ("licenses", "99213")}
    assert len({leak.key for leak in leaks if leak.table == "hcpcs_notes"}) == len(spelled)
    assert len({leak.column for leak in leaks if leak.table == "licenses"}) == len(spelled)


def test_a_misspelled_date_and_a_line_number_are_no_codes(folder: Path) -> None:
    spoil(folder, "hcpcs_findings", lambda rows: rows[0].update(message="'01/0/12019' on line 12345 is no day"))
    assert look(folder).leaks == ()
    spoil(folder, "hcpcs_findings", lambda rows: rows[0].update(message="line 12345 says 99213"))
    assert only_leak(look(folder))[3] == "99213"


def test_files_and_manifest_must_agree(folder: Path) -> None:
    (folder / "notes.txt").write_text("nothing in it")
    (folder / "LICENSES" / "CC0-1.0.txt").unlink()
    (folder / "open" / "link.txt").symlink_to("licenses.parquet")
    why = {leak.table: leak.why for leak in look(folder).leaks}
    assert set(why) == {"notes.txt", "LICENSES/CC0-1.0.txt", "open/link.txt"}
    assert "does not list" in why["notes.txt"]
    assert "not there" in why["LICENSES/CC0-1.0.txt"]
    assert "link" in why["open/link.txt"]


def test_what_cannot_be_read_is_not_published(folder: Path) -> None:
    names = ("data.bin", "broken.parquet", "broken.json", "latin.md")
    for name in names:
        (folder / name).write_bytes(b"PAR1 \xe9 nothing")
    leaks = look(folder, also=names).leaks
    assert {leak.table for leak in leaks} == set(names)


def test_codes_within_lists_of_structs_and_bytes_are_found(folder: Path) -> None:
    nested = pyarrow.table({"a": [[{"b": ["x", "99213"]}], []], "c": [b"see 0042T", b""]})
    pyarrow.parquet.write_table(nested, folder / "open" / "nested.parquet")
    leaks = look(folder, also=("open/nested.parquet",)).leaks
    assert {(leak.column, leak.key, leak.token) for leak in leaks} == {
        ("a.b", "row 1", "99213"),
        ("c", "row 1", "0042T"),
    }


def test_a_text_that_no_row_has_but_the_dictionary_of_a_file_is_refused(folder: Path) -> None:
    words = pyarrow.array(["nothing in it", "see 99213", SENTENCE])
    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0, 0], pyarrow.int32()), words)
    names = ("open/texts.parquet", "open/categories.parquet")
    for name in names:
        table = pyarrow.table({"long_description": column})
        pyarrow.parquet.write_table(table, folder / name, store_schema="categories" in name)
        assert pl.read_parquet(folder / name)["long_description"].unique().to_list() == ["nothing in it"]
    leaks = look(folder, also=names, forbidden=(SENTENCE,)).leaks
    tokens = ["99213", "samplestatusthree"]
    places = [(Path(name).stem, "long_description", "in no row") for name in sorted(names)]
    assert [(leak.table, leak.column, leak.key, leak.token) for leak in leaks] == [
        (*place, token) for place in places for token in tokens
    ]


@pytest.mark.parametrize("name", ["^words$", "^.*$", "a.b", "*", "row", "text", "column", "is_foreign"])
def test_no_name_of_a_column_hides_its_texts(folder: Path, name: str) -> None:
    odd = pyarrow.table({name: ["see 99213", ""], "words": ["nothing", "in it"]})
    pyarrow.parquet.write_table(odd, folder / "open" / "odd.parquet")
    assert only_leak(look(folder, also=("open/odd.parquet",))) == ("odd", name, "row 1", "99213")


#: A withheld sentence in columns and files, in other dress.
SENTENCES = [
    ("hcpcs_notes.note_text", "Note: SAMPLE  STATUS\nTHREE, as ever."),
    ("data_dictionary.description", "sample-status-three"),
    ("data_dictionary.description", "Sam&shy;ple st\u200batus %54hree"),
    ("CHANGES.md", "- Ｓａｍｐｌｅ st&#97;tus <b>th</b>ree\n"),
    ("hcpcs_corrections.comment", "Sample status three"),
    ("CHANGES.md", "- the text was\n  Sample status\n  three\n"),
    ("page.html", "<p>Sample <b>status</b> three</p>"),
    ("datapackage.json", '{"description": "Sample status three"}'),
    ("search.js", "const words = ['three', 'Sample', 'status', 'three'];"),
]


def test_a_withheld_sentence_is_refused_wherever_and_however_it_stands(folder: Path) -> None:
    in_tables = [(*place.split("."), text) for place, text in SENTENCES if place.split(".")[0] in contracts()]
    in_files = [(place, text) for place, text in SENTENCES if place.split(".")[0] not in contracts()]
    assert (len(in_tables), len(in_files)) == (4, 5)
    for number, (table, column, text) in enumerate(in_tables):
        spoil(folder, table, lambda rows, n=number, c=column, t=text: rows[n].update({c: t}))  # type: ignore[misc]
    files = written(folder, in_files)
    report = look(folder, also=files, forbidden=(SENTENCE,))
    expected = [*((table, column) for table, column, _ in in_tables), *((file, None) for file in files)]
    found = [(leak.table, None if leak.table in files else leak.column) for leak in report.leaks]
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert {leak.token for leak in report.leaks} == {"samplestatusthree"}


def test_a_withheld_sentence_in_metadata_is_refused(folder: Path) -> None:
    respell(folder, "licenses", lambda s: s.set(0, s.field(0).with_metadata({b"description": b"Sample Status THREE"})))
    leaks = look(folder, forbidden=(SENTENCE,)).leaks
    assert [(leak.table, leak.key) for leak in leaks] == [("licenses", "license_id metadata description")]


def test_withheld_texts_are_those_that_masking_must_take_out(sample: Version) -> None:
    work = sample.outputs.work
    tables = {path.stem: pl.read_parquet(path) for path in work.glob("*.parquet")}
    texts = withheld_texts(tables.items(), load_license_policy())
    assert SENTENCE in texts
    assert any("D0120" in text for text in texts)
    kept = pl.read_parquet(work / "hcpcs_codes.parquet").filter("cites_cpt")["long_description"].to_list()
    assert kept and not set(kept) & texts


def test_the_beginning_of_a_withheld_description_gives_it_away() -> None:
    words = "Sample: a status so grave that nobody would wish to have it"
    row = {"code": "P5", "long_description": words, "redistribution": "withheld"}
    texts = withheld_texts([("hcpcs_modifiers", pl.DataFrame([row]))], load_license_policy())
    assert any(len(t) < len(words) and "samplea" in t for t in texts)


def test_the_error_shows_some_leaks_and_holds_all(folder: Path) -> None:
    def plant(rows: Rows) -> None:
        for row in rows[:40]:
            row["note_text"] = "Sample: 99213"

    spoil(folder, "hcpcs_notes", plant)
    files = json.loads((folder / "manifest.json").read_text())["content"]["files"]
    with pytest.raises(LicenseLeak) as error:
        check_version(folder, load_license_policy(), [*files, "CHANGES.md"])
    assert len([leak for leak in error.value.leaks if leak.token == "99213"]) == 40
    assert "hcpcs_notes: note_text: release_id=2012-01, note_number=" in str(error.value)
    assert len(str(error.value).splitlines()) < 40


def test_a_condition_that_the_gate_does_not_know_keeps_nothing(folder: Path) -> None:
    odd = pl.DataFrame(
        {"table": ["t"], "column": ["c"], "condition": ["because"], "action": ["keep"], "reason": ["none"]}
    )
    with pytest.raises(ValueError, match="because"):
        check_version(folder, odd, [])


def test_without_the_policy_what_was_kept_is_refused(folder: Path) -> None:
    nothing_kept = load_license_policy().filter(pl.col("action") != "keep")
    report = inspect_version(folder, nothing_kept, [])
    assert ("hcpcs_codes", "long_description") in {(leak.table, leak.column) for leak in report.leaks}


def test_a_forgotten_mask_is_caught_by_the_gate(sample: Version, tmp_path: Path) -> None:
    policy = load_license_policy()
    tried = set()
    for number, rule in enumerate(policy.iter_rows(named=True)):
        if rule["action"] != "mask":
            continue
        table = rule["table"]
        whole = pl.read_parquet(sample.outputs.work / f"{table}.parquet")
        forgotten = masked(table, whole, policy.with_row_index("n").filter(pl.col("n") != number).drop("n"))
        if forgotten.equals(masked(table, whole, policy)):
            continue
        path = tmp_path / str(number) / f"{table}.parquet"
        path.parent.mkdir()
        write_published_table(path, contract(table), forgotten.select(list(contract(table).polars_schema)), {})
        leaks = inspect_version(path.parent, policy, [path.name]).leaks
        assert {(leak.table, leak.column) for leak in leaks} == {(table, rule["column"])}, rule
        tried.add(rule["condition"])
    assert {"row_of_ama_or_ada", "names_cpt_or_cdt_code", "cites_cpt_or_cdt"} <= tried


@pytest.mark.slow
def test_real_releases_pass(real_version: Version) -> None:
    tables = {path.stem: pl.read_parquet(path) for path in real_version.outputs.work.glob("*.parquet")}
    texts = withheld_texts(tables.items(), load_license_policy())
    assert len(texts) > 50
    report = look(real_version.folder, forbidden=tuple(texts))
    assert report.leaks == ()
    assert report.kept["hcpcs_release_records", "long_description", "cites_cpt_or_cdt"] > 100
