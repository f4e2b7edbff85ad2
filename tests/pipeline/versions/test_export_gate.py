"""The gate reads every kind of file that an export may hold, and refuses a leak planted in any of them."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow.compute
import pyarrow.parquet
import pytest
import xlsxwriter
from conftest import Said, Version

from hcpcs.export.registry import ExportFormat, export, formats
from hcpcs.version import Version as PublishedVersion
from pipeline.license_gate.report import LicenseLeak
from pipeline.versions.export_gate import check_export

Write = Callable[[Path, str], None]
PLAIN = "a made-up text"


def workbook(path: Path, text: str) -> None:
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("codes")
        sheet.write_row(0, 0, ["code", "words", "count"])
        sheet.write_row(1, 0, ["J1100", text, 99214])


def sqlite(path: Path, text: str) -> None:
    with sqlite3.connect(path) as database:
        database.execute("create table notes (number integer, words text)")
        database.execute("insert into notes values (99214, ?)", [text])
        database.execute("create virtual table found using fts5(words, content='notes', content_rowid='number')")
        database.execute("insert into found(found) values ('rebuild')")
    database.close()


def duckdb_table(path: Path, text: str) -> None:
    with duckdb.connect(str(path)) as database:
        database.execute("create table notes as select 99214 as number, ? as words", [text])


def duckdb_comment(path: Path, text: str) -> None:
    with duckdb.connect(str(path)) as database:
        database.execute("create table notes as select 1 as number")
        database.execute(f"comment on table notes is '{text}'")


def archive(path: Path, text: str) -> None:
    content = json.dumps({"words": text}).encode()
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo("package/package.json")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))


def written(form: str) -> Write:
    return lambda path, text: path.write_text(form.replace("TEXT", text), "utf-8") and None


FILES: dict[str, Write] = {
    "a.csv": written("code,words\nJ1100,TEXT\n"),
    "a.tsv": written("code\twords\nJ1100\tTEXT\n"),
    "a.ndjson": written('{"words": "x"}\n{"words": "TEXT", "count": 99214}\n'),
    "a.json": written('{"words": ["TEXT"]}'),
    "a.xml": written("<feed><title>TEXT</title></feed>"),
    "a.html": written("<p>TEXT</p>"),
    "a.md": written("TEXT\n"),
    "a.toml": written('words = "TEXT"\n'),
    "a.sql": written("select 'TEXT'\n"),
    "a.xlsx": workbook,
    "a.tgz": archive,
    "a.csv.gz": lambda path, text: path.write_bytes(gzip.compress(f"J1100,{text}\n".encode())) and None,
    "a.sqlite": sqlite,
    "a.duckdb": duckdb_table,
    "b.duckdb": duckdb_comment,
}


def form_of(write: Write, text: str, name: str) -> ExportFormat:
    def make(_: PublishedVersion, path: Path, options: object) -> list[str]:
        write(path, text)
        return [name]

    return ExportFormat("made-up", "", is_folder=False, write=make, suffix=name[1:])


@pytest.mark.parametrize("name", FILES)
def test_a_leak_in_any_kind_of_file_is_refused_and_the_destination_stays(
    sample: Version, tmp_path: Path, name: str
) -> None:
    target = tmp_path / "target"
    version = PublishedVersion(sample.folder)
    clean = form_of(FILES[name], PLAIN, name)
    export(version, clean, target, check=lambda path: check_export(path, clean))
    before = target.read_bytes()
    for text in ("bill 99213 with it", "D0120"):
        leaking = form_of(FILES[name], text, name)
        with pytest.raises(LicenseLeak, match=r"99213|D0120"):
            export(version, leaking, target, overwrite=True, check=lambda path, form=leaking: check_export(path, form))  # type: ignore[misc]
        assert target.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == ["target"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "concept_code,concept_name\n25,Words that another wrote\n"),
        ("a.ndjson", '{"code": "25", "display": "Words that another wrote"}\n'),
        ("a.json", '{"concept": [{"code": "1P", "definition": "Words"}]}'),
    ],
)
def test_words_about_a_code_of_the_ama_are_refused(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(LicenseLeak, match="about a"):
        check_export(tmp_path, form_of(written(""), "", name))


def test_a_quoted_column_may_keep_what_the_policy_says_and_no_more(tmp_path: Path) -> None:
    form = form_of(written(""), "", "a.json")
    (tmp_path / "a.json").write_text('{"words": "made-up words that cite 99213"}')
    with pytest.raises(LicenseLeak):
        check_export(tmp_path, form)
    quoting = replace(form, shows=("hcpcs_codes.long_description",))
    assert check_export(tmp_path, quoting).kept == {("a.json", "words", "cites_cpt_or_cdt"): 1}
    (tmp_path / "a.json").write_text('{"words": "99213"}')
    with pytest.raises(LicenseLeak):
        check_export(tmp_path, quoting)


def test_what_the_gate_cannot_read_is_refused(tmp_path: Path) -> None:
    for name, content in (("a.bin", b"x"), ("a.xlsx", b"no zip"), ("a.sqlite", b"no database" * 100), ("a.tgz", b"x")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(LicenseLeak, match=r"cannot read|cannot be read"):
            check_export(tmp_path / name, form_of(written(""), "", name))


def test_the_places_of_cells_are_no_codes_and_a_text_beside_them_is_read(tmp_path: Path) -> None:
    for words in ("", "99213"):
        with xlsxwriter.Workbook(tmp_path / "a.xlsx") as book:
            sheet = book.add_worksheet("codes")
            sheet.write_row(0, 0, ["one", "two", "three", "four"])
            sheet.write_row(999, 0, ["J1100", 1, words, "words"])
            sheet.autofilter(0, 0, 999, 3)
            sheet.ignore_errors({"number_stored_as_text": "A1:D1000"})
            sheet.set_selection("D1000")
        if words:
            with pytest.raises(LicenseLeak, match="99213"):
                check_export(tmp_path, form_of(written(""), "", "a.xlsx"))
        else:
            check_export(tmp_path, form_of(written(""), "", "a.xlsx"))


@pytest.fixture(scope="module")
def leaking_version(sample: Version, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample with a CPT code where CMS's words about A9276 should be, in every table."""
    folder = tmp_path_factory.mktemp("leaking") / "version"
    shutil.copytree(sample.folder, folder)
    for path in (folder / "open").glob("*.parquet"):
        table = pyarrow.parquet.read_table(path)
        for column in {"short_description", "long_description"} & set(table.column_names):
            is_it = pyarrow.compute.equal(table["code"], "A9276") if "code" in table.column_names else None
            if is_it is not None:
                planted = pyarrow.compute.if_else(is_it, "99213", table[column])
                table = table.set_column(table.column_names.index(column), table.field(column), planted)
        pyarrow.parquet.write_table(table, path)
    return folder


@pytest.mark.parametrize("name", formats())
def test_a_leak_planted_in_the_tables_is_refused_in_every_format(
    leaking_version: Path, hcpcs: Callable[..., Said], tmp_path: Path, name: str
) -> None:
    said = hcpcs("export", f"--{name}", tmp_path / "target", "--version", leaking_version)
    assert (said.status, said.out) == (1, "")
    assert "may not be redistributed" in said.err and "99213" in said.err
    assert list(tmp_path.iterdir()) == []
