"""Layouts of public claims and price files, made small: each is read by the options of docs/annotate-input.md."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import REPOSITORY, Said
from small_version import SPANS, write_version


@dataclass(frozen=True)
class Layout:
    """A small file, the options that read it, and what its summary then says."""

    name: str
    text: str
    options: str
    lines: int
    statuses: dict[str, int]
    null: dict[str, int]
    amount: float | None = None


LAYOUTS = [
    Layout(
        "synthea-procedures.csv",
        "START,STOP,PATIENT,ENCOUNTER,SYSTEM,CODE,DESCRIPTION,BASE_COST,REASONCODE,REASONDESCRIPTION\n"
        "2019-01-05T10:15:00Z,2019-01-05T10:30:00Z,p1,e1,http://snomed.info/sct,430193006,Medication review,431.40,,\n"
        "2019-01-06T10:15:00Z,2019-01-06T10:30:00Z,p1,e2,HCPCS,J1100,made up,12.60,,\n",
        "--code CODE --date START --amount BASE_COST",
        2,
        {"valid": 1, "unknown_shape": 1},
        {"code": 0, "START": 0},
        444.0,
    ),
    Layout(
        "desynpuf-outpatient.csv",
        '"DESYNPUF_ID","CLM_ID","CLM_FROM_DT","CLM_THRU_DT","CLM_PMT_AMT","HCPCS_CD_1","HCPCS_CD_2","HCPCS_CD_3"\n'
        '"A1","542192281063886","20190105","20190105","50.00","99213","J1100",""\n'
        '"A1","542192281063887","","","0.00","","",""\n',
        "--code HCPCS_CD_* --date CLM_FROM_DT --date-else CLM_THRU_DT",
        2,
        {"valid": 1, "not_loaded": 1},
        {"code": 4, "CLM_FROM_DT": 1, "CLM_THRU_DT": 1},
    ),
    Layout(
        "rif-carrier.txt",
        "BENE_ID|CLM_ID|LINE_NUM|CLM_FROM_DT|HCPCS_CD|HCPCS_1ST_MDFR_CD|LINE_NCH_PMT_AMT|HCPCS_DESC\n"
        '-1|-2|1|03-FEB-2014|J1100|RT|8.40|"6 INCH\n'
        "-1|-2|2|03-FEB-2014|99213||72.10|\n",
        "--code HCPCS_CD --date CLM_FROM_DT --modifier HCPCS_1ST_MDFR_CD --amount LINE_NCH_PMT_AMT",
        2,
        {"valid": 1, "not_loaded": 1},
        {"code": 0, "CLM_FROM_DT": 0},
        80.5,
    ),
    Layout(
        "cclf5.txt",
        "CUR_CLM_UNIQ_ID,CLM_LINE_NUM,CLM_LINE_FROM_DT,CLM_LINE_HCPCS_CD,HCPCS_1_MDFR_CD,CLM_LINE_CVRD_PD_AMT\n"
        "1,1,2019-01-05,J1100,~,00000010.50\n1,2,2019-01-05,~,~,-00000010.50\n",
        "--code CLM_LINE_HCPCS_CD --date CLM_LINE_FROM_DT --modifier HCPCS_1_MDFR_CD --amount CLM_LINE_CVRD_PD_AMT",
        2,
        {"valid": 1, "unknown_shape": 1},
        {"code": 1, "CLM_LINE_FROM_DT": 0},
        0.0,
    ),
    Layout(
        "hospital-tall.csv",
        "hospital_name,last_updated_on,version,hospital_location,hospital_address\n"
        '"Made Up Hospital",2024-07-01,2.0.0,"Somewhere, ST","1 Street"\n'
        "description,code|1,code|1|type,code|2,code|2|type,setting,standard_charge|gross,payer_name\n"
        '"Dose of something, 1 mg",J1100,HCPCS,0636,RC,both,"$1,234.50",Payer A\n'
        '"Visit",99213,CPT,,,outpatient,150.00,Payer B\n',
        "--skip-lines 2 --code code|1 --on 2024-07-01 --amount standard_charge|gross --redact description",
        2,
        {"valid": 1, "not_loaded": 1},
        {"code": 0},
        1384.5,
    ),
    Layout(
        "hospital-wide.csv",
        "description,code|1,code|1|type,standard_charge|gross,standard_charge|Platform|PPO|negotiated_dollar\n"
        "Dose,J1100,HCPCS,5.00,4.50\nVisit,99213,CPT,150.00,\n",
        "--code code|1 --on 2024-07-01 --amount standard_charge|Platform|PPO|negotiated_dollar",
        2,
        {"valid": 1, "not_loaded": 1},
        {"code": 0},
        4.5,
    ),
    Layout(
        "remittance-lines.csv",
        "CLP01,SVC01,DTM472,SVC02,SVC03\nc1,HC:J1100:RT,20190105,100.00,80.00\nc1,HC:99213:25,20190105,5.00,(2.50)\n",
        "--code SVC01 --date DTM472 --amount SVC03",
        2,
        {"valid": 1, "not_loaded": 1},
        {"code": 0, "DTM472": 0},
        77.5,
    ),
    Layout(
        "medicaid-spending.csv",
        "BILLING_PROVIDER_NPI_NUM,HCPCS_CODE,CLAIM_FROM_MONTH,TOTAL_PAID\n1,J1100,2018-01,10.5\n2,J0570,2017-12,1e2\n",
        "--code HCPCS_CODE --date CLAIM_FROM_MONTH --date-format YYYY-MM --amount TOTAL_PAID",
        2,
        {"valid": 1, "expired": 1},
        {"code": 0, "CLAIM_FROM_MONTH": 0},
        110.5,
    ),
    Layout(
        "provider-and-service.csv",
        "Rndrng_NPI,HCPCS_Cd,HCPCS_Desc,Tot_Srvcs,Avg_Mdcr_Pymt_Amt\n"
        "1,J1100,made up,12,0.10\n1,99213,made up,15,60.90\n",
        "--code HCPCS_Cd --on 2022-07-01 --amount Avg_Mdcr_Pymt_Amt --redact HCPCS_Desc",
        2,
        {"valid": 1, "not_loaded": 1},
        {"code": 0},
        61.0,
    ),
]


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_version(tmp_path_factory.mktemp("version"), SPANS)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_a_public_layout_is_read(layout: Layout, hcpcs: Callable[..., Said], tmp_path: Path, version: Path) -> None:
    (tmp_path / layout.name).write_text(layout.text, "utf-8")
    out = tmp_path / "out.parquet"
    said = hcpcs("annotate", tmp_path / layout.name, out, *layout.options.split(), "--version", version, "--json")
    assert said.status == 0, said.err
    summary = json.loads(said.out)
    assert pq.read_metadata(out).num_rows == summary["lines"] == layout.lines
    assert {row["name"]: row["lines"] for row in summary["by_status"]} == layout.statuses
    assert summary["null"] == layout.null
    assert summary["odd"]["unreadable_dates"] == {}
    assert summary["odd"]["unreadable_amounts"]["lines"] == 0
    if layout.amount is not None:
        assert round(sum(row["amount"] for row in summary["by_status"]), 2) == layout.amount
    if "--redact" in layout.options:
        assert summary["redacted"]["values"] == 1


def test_the_documentation_names_the_options_of_each_layout() -> None:
    text = (REPOSITORY / "docs" / "annotate-input.md").read_text("utf-8").replace("\\|", "|").replace("'", "")
    missing = [layout.name for layout in LAYOUTS if f"`{layout.options}`" not in text]
    assert missing == []
