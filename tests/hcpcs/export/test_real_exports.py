"""Rules of exports on CMS's own releases, as the readers of the formats answer."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from conftest import Version as MadeVersion

from hcpcs.export.registry import export, formats
from hcpcs.version import Version

pytestmark = pytest.mark.slow


@pytest.fixture
def real(real_version: MadeVersion) -> Version:
    return Version(real_version.folder)


def test_tuvas_seed_has_every_code_and_modifier_of_october_2025(real: Version, tmp_path: Path) -> None:
    export(real, formats()["tuva"], tmp_path / "tuva")
    seed = tmp_path / "tuva" / "seeds" / "terminology__hcpcs_level_2.csv"
    counted = duckdb.execute("select count(distinct hcpcs), count(*) from read_csv(?, all_varchar = true)", [str(seed)])
    assert counted.fetchone() == (8846, 8846)


def test_omop_gives_a_reused_code_todays_meaning_and_closes_the_earlier_one(real: Version, tmp_path: Path) -> None:
    export(real, formats()["omop"], tmp_path / "omop")
    concepts = duckdb.execute(
        "select concept_code, concept_name, valid_end_date, invalid_reason from read_csv(?, all_varchar = true,"
        " delim = '\t', quote = '') where concept_code in ('J9380', 'Q2041', 'Q2042') order by 1, 3",
        [str(tmp_path / "omop" / "CONCEPT.csv")],
    ).fetchall()
    drugs = ["VINCRISTINE", "teclistamab", "WILATE", "Axicabtagene", "HYDROXYPROGESTERONE", "Tisagenlecleucel"]
    assert [drug for (_, name, _, _), drug in zip(concepts, drugs, strict=True) if drug in name] == drugs
    assert [(end, reason is None) for _, _, end, reason in concepts] == [
        *(("20101231", False), ("20991231", True)),
        *(("20111231", False), ("20991231", True)),
        *(("20111231", False), ("20991231", True)),
    ]
