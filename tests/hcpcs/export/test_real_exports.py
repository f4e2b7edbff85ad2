"""Rules of exports on CMS's own releases, as the readers of the formats answer."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from conftest import Version

from hcpcs.export.registry import export, formats
from hcpcs.paths import Outputs
from hcpcs.version import Version as Published
from pipeline.refresh.refresh import refresh

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def real(shared_cms: Path, tmp_path_factory: pytest.TempPathFactory) -> Published:
    outputs = Outputs(tmp_path_factory.mktemp("real"))
    return Published(Version(outputs, refresh(outputs, offered=shared_cms)).folder)


def test_tuvas_seed_has_every_code_and_modifier_of_october_2025(real: Published, tmp_path: Path) -> None:
    export(real, formats()["tuva"], tmp_path / "tuva")
    seed = tmp_path / "tuva" / "seeds" / "terminology__hcpcs_level_2.csv"
    counted = duckdb.execute("select count(distinct hcpcs), count(*) from read_csv(?, all_varchar = true)", [str(seed)])
    assert counted.fetchone() == (8846, 8846)
