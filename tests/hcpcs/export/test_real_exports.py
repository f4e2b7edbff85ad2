"""Rules of exports on CMS's own releases, as the readers of the formats answer."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from conftest import Version as MadeVersion
from node import node

from hcpcs.export.registry import export, formats
from hcpcs.version import Version

pytestmark = pytest.mark.slow


@pytest.fixture
def real(real_version: MadeVersion) -> Version:
    return Version(real_version.folder)


def test_tuvas_seed_has_every_code_and_modifier_of_october_2025(real: Version, tmp_path: Path) -> None:
    export(real, formats()["tuva"], tmp_path / "tuva")
    seed = tmp_path / "tuva" / "seeds" / "terminology__hcpcs_level_2.csv"
    counted = "select count(distinct hcpcs), count(*) from read_csv(?, all_varchar = true)"
    assert duckdb.connect().execute(counted, [str(seed)]).fetchall() == [(8846, 8846)]


def test_omop_gives_a_reused_code_todays_meaning_and_closes_the_earlier_one(real: Version, tmp_path: Path) -> None:
    export(real, formats()["omop"], tmp_path / "omop")
    concepts = (
        duckdb.connect()
        .execute(
            "select concept_code, concept_name, valid_end_date, invalid_reason from read_csv(?, all_varchar = true,"
            " delim = '\t', quote = '') where concept_code in ('J9380', 'Q2041', 'Q2042') order by 1, 3",
            [str(tmp_path / "omop" / "CONCEPT.csv")],
        )
        .fetchall()
    )
    drugs = ["VINCRISTINE", "teclistamab", "WILATE", "Axicabtagene", "HYDROXYPROGESTERONE", "Tisagenlecleucel"]
    assert [drug for (_, name, _, _), drug in zip(concepts, drugs, strict=True) if drug in name] == drugs
    assert [(end, reason is None) for _, _, end, reason in concepts] == [
        *(("20101231", False), ("20991231", True)),
        *(("20111231", False), ("20991231", True)),
        *(("20111231", False), ("20991231", True)),
    ]


def test_the_fhir_package_expands_to_october_2025s_count_offline(real: Version, tmp_path: Path) -> None:
    export(real, formats()["fhir"], tmp_path / "fhir")
    (package,) = (tmp_path / "fhir").glob("hcpcs.r4-*.tgz")
    version = package.stem.partition("-")[2]
    arguments = ["hcpcs.r4", version, "4.0.1", "urn:hcpcs:ValueSet:all", "J0570", "99213"]
    said = json.loads(node("expand.mjs", tmp_path / "cache", package, *arguments))
    assert said["total"] == 8846
    assert {code: member["status"] for code, member in said["members"].items()} == {
        "J0570": "member",
        "99213": "not-member",
    }


def test_sqlites_references_lead_somewhere_and_a_code_keeps_its_zeros(real: Version, tmp_path: Path) -> None:
    export(real, formats()["sqlite"], tmp_path / "sqlite")
    with closing(sqlite3.connect(tmp_path / "sqlite" / "hcpcs.db")) as database:
        assert database.execute("pragma foreign_key_check").fetchall() == []
        pricing = database.execute("select distinct pricing_indicators from hcpcs_codes").fetchall()
        assert ('["00"]',) in pricing
