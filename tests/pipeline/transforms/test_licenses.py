"""The policy is one file that masking and gate both understand; what it masks is null, and is counted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from conftest import Version

from hcpcs.license_counts import licenses_of_version
from pipeline.license_gate.policy import KEEP_CONDITIONS
from pipeline.transforms.license_flags import CONDITIONS, masked, quotable, with_license_flags
from schemas.columns import LICENSE_CDT, LICENSE_CMS, LICENSE_CPT, LICENSE_UNKNOWN
from schemas.registry import contract, contracts
from sources.curated.license_policy import load_license_policy
from sources.errors import CuratedFileError

COLUMNS = ["table", "column", "condition", "action", "reason"]


def policy(*rows: tuple[str, str, str, str]) -> pl.DataFrame:
    return pl.DataFrame([(*row, "because") for row in rows], schema=COLUMNS, orient="row")


def findings(**values: object) -> pl.DataFrame:
    """A finding that is flagged, with the values given."""
    schema = contract("hcpcs_findings").polars_schema
    row = {name: values.get(name, [] if isinstance(dtype, pl.List) else None) for name, dtype in schema.items()}
    return pl.DataFrame([row | {"license_id": values.get("license_id", "CC0-1.0")}], schema=schema)


def test_every_row_of_the_policy_names_a_column_and_a_condition_that_is_tested() -> None:
    for row in load_license_policy().iter_rows(named=True):
        if "." not in row["table"]:  # a file of a version that is no table, such as its manifest
            assert row["column"] in contracts()[row["table"]].polars_schema, row
        assert row["condition"] in (KEEP_CONDITIONS if row["action"] == "keep" else CONDITIONS), row


def test_every_table_with_descriptions_masks_those_of_others() -> None:
    masks = load_license_policy().filter((pl.col("action") == "mask") & (pl.col("condition") == "row_of_ama_or_ada"))
    covered = set(masks.select("table", "column").iter_rows())
    described = {
        (table, column)
        for table, stated in contracts().items()
        for column in stated.polars_schema
        if column.endswith("_description") and "license_id" in stated.polars_schema
    }
    assert described and described <= covered


def test_a_row_whose_license_is_not_known_is_withheld() -> None:
    licenses = [LICENSE_UNKNOWN, LICENSE_CPT, LICENSE_CDT, LICENSE_CMS, "CC0-1.0"]
    stated = pl.DataFrame({"code": ["J1000"] * 5, "license_id": licenses})
    flagged = with_license_flags("hcpcs_codes", stated, load_license_policy())
    assert flagged["redistribution"].to_list() == ["withheld"] * 3 + ["open"] * 2


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("t,c,cites_cpt_or_cdt,keep,", "line 2: no reason"),
        ("t,c,because,keep,why", "line 2: condition 'because'"),
        ("t,c,cites_cpt_or_cdt,hide,why", "line 2: action 'hide'"),
        (
            "t,c,cites_cpt_or_cdt,keep,why\nt,c,cites_cpt_or_cdt,mask,why",
            "line 3: t, c, cites_cpt_or_cdt appears twice",
        ),
    ],
)
def test_a_broken_policy_is_refused_with_its_line(tmp_path: Path, line: str, what: str) -> None:
    path = tmp_path / "policy.csv"
    path.write_text(",".join(COLUMNS) + "\n" + line + "\n")
    with pytest.raises(CuratedFileError) as error:
        load_license_policy(path)
    assert f"policy.csv: {what}" in str(error.value)


def test_flags_are_set_on_whole_content_and_masking_only_nulls() -> None:
    records = pl.DataFrame(
        {
            "code": ["P3", "D0120", "J1100", "J1101"],
            "long_description": ["Sample one", "Sample two", "Sample: see 0583t", "Sample: 1000u of it"],
            "crosswalk_targets": [[], ["D0140"], ["99213", "J1100", "CPT99214"], ["CPT"]],
        }
    )
    stated = load_license_policy()
    flagged = with_license_flags("hcpcs_codes", records, stated, texts=("long_description",))
    assert flagged["steward"].to_list() == ["AMA", "ADA", "CMS", "CMS"]
    assert flagged["redistribution"].to_list() == ["withheld", "withheld", "open", "open"]
    assert flagged["cites_cpt"].to_list() == [False, False, True, False]
    assert flagged["withheld_fields"].to_list() == [
        ["long_description"],
        ["long_description", "crosswalk_targets"],
        ["crosswalk_targets"],
        [],
    ]
    rules = stated.filter(pl.col("column").is_in(records.columns) & (pl.col("action") == "mask"))
    shown = masked("hcpcs_codes", flagged, rules)
    assert shown["long_description"].to_list() == [None, None, *records["long_description"][2:]]
    assert shown["crosswalk_targets"].to_list() == [[], [], ["J1100"], ["CPT"]]
    assert shown["code"].to_list() == records["code"].to_list()


def test_where_null_may_not_stand_the_word_withheld_does() -> None:
    rules = policy(("hcpcs_findings", "message", "quotes_cpt_or_cdt", "mask"))
    for message, shown in [
        ("'99213' is no date", "withheld"),
        ("line 12345 is short", "line 12345 is short"),
        ("'01/0/12019' is no day", "'01/0/12019' is no day"),
    ]:
        assert masked("hcpcs_findings", findings(message=message), rules)["message"].to_list() == [shown]


def test_a_dropped_row_is_gone() -> None:
    rules = policy(("hcpcs_findings", "code", "names_cpt_or_cdt_code", "drop"))
    both = pl.concat([findings(code="D0120"), findings(code="J1100")])
    assert masked("hcpcs_findings", both, rules)["code"].to_list() == ["J1100"]


def test_a_message_for_the_manifest_keeps_its_places_and_loses_codes() -> None:
    message = "line 12345 of codes.txt: '99213' and 0042t stand for D0120 since 01/0/12019"
    assert quotable(message) == (
        "line 12345 of codes.txt: '[withheld]' and [withheld] stand for [withheld] since 01/0/12019"
    )


def test_the_report_counts_rows_and_masked_fields_by_table_and_license(sample: Version) -> None:
    folder = sample.outputs.latest_link.resolve()
    rows = {(row["table"], row["license_id"]): row for row in licenses_of_version(folder)}
    modifiers = rows["hcpcs_modifiers", "LicenseRef-AMA-CPT"]
    assert modifiers["rows"] == modifiers["withheld_rows"] == 6
    assert modifiers["masked"] == {"long_description": 6, "short_description": 6}
    for (table, _), row in rows.items():
        assert row["rows"] <= pl.read_parquet(folder / "open" / f"{table}.parquet").height
        assert row["masked_fields"] == sum(row["masked"].values())
    notes = pl.read_parquet(folder / "open" / "hcpcs_notes.parquet")
    assert sum(row["masked_fields"] for (table, _), row in rows.items() if table == "hcpcs_notes") == (
        notes["note_text"].null_count()
    )


def test_the_report_imports_no_heavy_library() -> None:
    code = "import sys, hcpcs.license_counts; print({'polars', 'pandera', 'dagster'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
