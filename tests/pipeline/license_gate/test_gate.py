"""A code planted in a file of any kind, however it is written, is refused with its place; a number is no code."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest
from conftest import Version
from spoiled_version import look, written

from pipeline.license_gate.as_read import as_read
from pipeline.license_gate.check import inspect_version
from pipeline.license_gate.pages import are_harmless
from pipeline.license_gate.tokens import TOKEN
from sources.curated.license_policy import load_license_policy


@pytest.fixture
def folder(sample: Version, tmp_path: Path) -> Path:
    """A copy of the published sample, for one test to spoil."""
    return shutil.copytree(sample.outputs.latest_link.resolve(), tmp_path / "version")


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


def test_what_cannot_be_read_is_not_published(folder: Path) -> None:
    names = ("data.bin", "broken.parquet", "broken.json", "latin.md")
    for name in names:
        (folder / name).write_bytes(b"PAR1 \xe9 nothing")
    leaks = look(folder, also=names).leaks
    assert {leak.table for leak in leaks} == set(names)
