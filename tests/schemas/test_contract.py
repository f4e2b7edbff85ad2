"""Contracts: the one statement of a table from which checks, Parquet, dictionary and catalog derive."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pandera.polars as pa
import polars as pl
import pyarrow.parquet
import pytest
from conftest import Version

from schemas.columns import CODE_OR_MODIFIER, DERIVED, GROUPS, column, hcpcs_code, text_list
from schemas.contract import Contract, ContractViolation, enforce_contract
from schemas.registry import contract, contracts, enforce


class Things(pa.DataFrameModel):
    """One row per thing,
    made up for these tests."""

    code: str = hcpcs_code()
    number: pl.Int32 = column("A number.", ge=1, source="nowhere")
    added: pl.Date = column("A day.", source=DERIVED, nullable=True)
    ended: pl.Date = column("Another day.", source=DERIVED, nullable=True)
    words: pl.List = text_list("Words.", source=DERIVED)

    @pa.dataframe_check(name="dates_in_order")
    def dates_in_order(cls, data: pa.PolarsData) -> pl.LazyFrame:  # noqa: N805
        """Nothing ends before it begins."""
        return data.lazyframe.select((pl.col("ended") >= pl.col("added")).fill_null(True))

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["code"]


THINGS = Contract("things", Things)


def things(**changed: object) -> pl.DataFrame:
    rows = {
        "code": ["A0080", "A1"],
        "number": [1, 2],
        "added": [dt.date(2019, 1, 1), None],
        "ended": [None, None],
        "words": [["a"], []],
    }
    return pl.DataFrame(rows | changed, schema=THINGS.polars_schema)  # type: ignore[arg-type]


def violations(frame: pl.DataFrame) -> pl.DataFrame:
    with pytest.raises(ContractViolation) as broken:
        enforce_contract(THINGS, frame)
    assert "things breaks its contract" in str(broken.value)
    return broken.value.violations


def test_a_frame_that_keeps_the_contract_comes_back_in_its_column_order() -> None:
    frame = things().select("words", "code", "ended", "added", "number")
    assert enforce_contract(THINGS, frame).equals(things())


def test_all_violations_come_at_once_with_the_key_of_their_row() -> None:
    found = violations(things(code=["A0080", "bad"], number=[0, 2]))
    assert set(found["column"]) == {"code", "number"}
    assert found.filter(column="number")["row"].item() == "code=A0080"
    assert found.filter(column="number")["value"].item() == "0"
    assert found.filter(column="code")["value"].item() == "bad"


@pytest.mark.parametrize(
    "changed",
    [
        {"code": ["A0080", None]},
        {"code": ["A0080", "A0080"]},
        {"ended": [dt.date(2018, 12, 31), None]},
    ],
    ids=["a null in a key", "a key twice", "dates out of order"],
)
def test_each_rule_of_the_contract_stops_the_frame(changed: dict[str, object]) -> None:
    assert violations(things(**changed)).height >= 1


def test_a_missing_a_further_and_a_mistyped_column_are_violations() -> None:
    assert violations(things().drop("added")).height >= 1
    assert violations(things().with_columns(more=pl.lit(1))).height >= 1
    assert violations(things().with_columns(pl.col("number").cast(pl.Int64))).height >= 1


def test_a_lazy_frame_is_refused_since_its_content_would_go_unchecked() -> None:
    with pytest.raises(TypeError, match="eager"):
        enforce_contract(THINGS, things(number=[0, 0]).lazy())  # type: ignore[arg-type]


def test_the_message_shows_twenty_violations_and_counts_the_rest() -> None:
    frame = pl.DataFrame(
        {
            "code": [f"A{n:04}" for n in range(30)],
            "number": [0] * 30,
            "added": [None] * 30,
            "ended": [None] * 30,
            "words": [[]] * 30,
        },
        schema=THINGS.polars_schema,
    )
    with pytest.raises(ContractViolation, match="in 30 places") as broken:
        enforce_contract(THINGS, frame)
    assert "… and 10 more" in str(broken.value)
    assert broken.value.violations.height == 30


def test_arrow_schema_says_types_nullability_and_meaning_of_fields_and_file() -> None:
    schema = THINGS.arrow_schema({"is_sample": "true"})
    assert [str(f.type) for f in schema][:4] == ["string", "int32", "date32[day]", "date32[day]"]
    assert pyarrow.types.is_list(schema.field("words").type)
    assert (schema.field("code").nullable, schema.field("added").nullable) == (False, True)
    assert schema.field("number").metadata[b"description"] == b"A number."
    assert schema.field("number").metadata[b"source"] == b"nowhere"
    assert schema.metadata[b"hcpcs.description"] == b"One row per thing, made up for these tests."
    assert json.loads(schema.metadata[b"hcpcs.primary_key"]) == ["code"]
    assert schema.metadata[b"hcpcs.is_sample"] == b"true"
    assert json.loads(schema.metadata[b"hcpcs.columns"])["number"]["source"] == "nowhere"


@pytest.mark.parametrize("code", ["A0080", "99213", "0001U", "0042T", "A1", "8P", "59"])
def test_what_has_the_shape_of_a_code_is_one(code: str) -> None:
    assert things(code=[code, "ZZ"])["code"].str.contains(CODE_OR_MODIFIER).all()


# --- every published table -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", contracts())
def test_every_contract_describes_its_table_key_and_columns(table: str) -> None:
    stated = contract(table)
    assert stated.description.startswith("One row per ")
    assert stated.key and set(stated.key) <= set(stated.polars_schema)
    for one in stated.columns:
        assert one.description and one.license_id, f"{table}.{one.name}"
        assert not (one.is_key and one.nullable), f"{table}.{one.name}: a key has no nulls"
        assert one.name == one.name.lower()
        if one.name.endswith("_date"):
            assert one.type == "date32[day]", f"{table}.{one.name}"
        if one.name.startswith("is_"):
            assert one.type == "bool", f"{table}.{one.name}"


@pytest.mark.parametrize("table", contracts())
def test_every_published_file_keeps_its_contract(sample: Version, table: str) -> None:
    frame = sample.open(table)
    assert frame.height > 0
    enforce(table, frame)


@pytest.mark.parametrize("table", contracts())
def test_parquet_schema_and_metadata_are_the_contracts(sample: Version, table: str) -> None:
    path: Path = sample.folder / "open" / f"{table}.parquet"
    schema = pyarrow.parquet.read_schema(path)
    stated = contract(table)
    assert schema.names == [c.name for c in stated.columns]
    for one in stated.columns:
        field = schema.field(one.name)
        assert field.nullable == one.nullable
        assert field.metadata[b"description"].decode() == one.description
        assert not pyarrow.types.is_large_string(field.type)
    assert json.loads(schema.metadata[b"hcpcs.primary_key"]) == list(stated.key)


def test_the_dictionary_has_a_row_for_every_column_of_every_table(sample: Version) -> None:
    dictionary = sample.open("data_dictionary")
    rows = dictionary.select("table_name", "column_name").rows()
    assert dictionary.filter(pl.col("source").str.strip_chars() == "").is_empty()
    assert dictionary["source"].null_count() == 0
    stated = {(r["table_name"], r["column_name"]): r["source"] for r in dictionary.to_dicts()}
    assert stated["hcpcs_codes", "code"] == "CMS record, positions 1-5"
    assert stated["ambulance_locations", "letter"] == "sources/curated/ambulance_locations.csv, letter"
    assert stated["hcpcs_codes", "license_id"].startswith("hcpcs: derived from ")
    assert set(rows) == {(name, c.name) for name, stated in contracts().items() for c in stated.columns}
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize("table", contracts())
def test_every_contract_states_its_group_its_owner_and_what_it_is_made_from(table: str) -> None:
    stated = contract(table)
    assert stated.facts.group in GROUPS and stated.facts.owner and stated.facts.derived_from
    assert set(stated.facts.texts) <= set(stated.polars_schema)
    if stated.has_license_columns:
        assert stated.facts.code is None or stated.facts.code in stated.polars_schema


@pytest.mark.parametrize("table", contracts())
def test_lineage_within_a_table_names_columns_of_it(table: str) -> None:
    """Of other tables, too: see the tests of ``pipeline.lineage.columns``, which knows those that are not published."""
    names = {part for c in contract(table).columns for part in c.lineage if "." not in part}
    allowed = set(contract(table).polars_schema)
    # In license columns `code` stands for the column that tells whose a row is, which a table may name or lack.
    assert names <= allowed | ({"code"} if contract(table).facts.code != "code" else set())


def test_a_column_says_in_words_what_its_checks_ask() -> None:
    columns = {c.name: c for c in THINGS.columns}
    assert columns["number"].constraints == ("at least 1",)
    assert columns["code"].constraints == (f"matches {CODE_OR_MODIFIER}",)
    assert {c.name: c for c in contract("hcpcs_history").columns}["steward"].constraints == (
        "one of CMS, AMA, ADA, local",
    )
    assert THINGS.rules == ("Nothing ends before it begins.",)
    assert columns["added"].is_derived and not columns["number"].is_derived
