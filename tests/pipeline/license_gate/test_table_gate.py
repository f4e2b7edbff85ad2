"""A code or text of others planted in a table, its names or its metadata is refused with its place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow
import pyarrow.parquet
import pytest
from conftest import Version
from spoiled_version import SENTENCE, Rows, look, only_leak, respell, spoil


@pytest.fixture
def folder(sample: Version, tmp_path: Path) -> Path:
    """A copy of the published sample, for one test to spoil."""
    return shutil.copytree(sample.outputs.latest_link.resolve(), tmp_path / "version")


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


@pytest.mark.parametrize("encoding", ["PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_a_code_is_found_in_any_encoding_of_a_file(folder: Path, encoding: str) -> None:
    table = pyarrow.table({"words": ["nothing", "see 99213"]})
    path = folder / "open" / "odd.parquet"
    pyarrow.parquet.write_table(table, path, use_dictionary=False, column_encoding={"words": encoding})
    assert only_leak(look(folder, also=("open/odd.parquet",))) == ("odd", "words", "row 2", "99213")


def test_a_column_named_as_a_part_of_another_hides_nothing(folder: Path) -> None:
    odd = pyarrow.table({"a.b": ["see 99213", ""], "a": [{"b": ""}, {"b": "see 0042T"}]})
    pyarrow.parquet.write_table(odd, folder / "open" / "odd.parquet")
    leaks = look(folder, also=("open/odd.parquet",)).leaks
    assert {(leak.column, leak.key, leak.token) for leak in leaks} == {
        ("a.b", "row 1", "99213"),
        ("a.b", "row 2", "0042T"),
    }


@pytest.mark.parametrize("name", ["^words$", "^.*$", "a.b", "*", "row", "text", "column", "is_foreign"])
def test_no_name_of_a_column_hides_its_texts(folder: Path, name: str) -> None:
    odd = pyarrow.table({name: ["see 99213", ""], "words": ["nothing", "in it"]})
    pyarrow.parquet.write_table(odd, folder / "open" / "odd.parquet")
    assert only_leak(look(folder, also=("open/odd.parquet",))) == ("odd", name, "row 1", "99213")


def test_a_withheld_sentence_in_metadata_is_refused(folder: Path) -> None:
    respell(folder, "licenses", lambda s: s.set(0, s.field(0).with_metadata({b"description": b"Sample Status THREE"})))
    leaks = look(folder, forbidden=(SENTENCE,)).leaks
    assert [(leak.table, leak.key) for leak in leaks] == [("licenses", "license_id metadata description")]
