"""A licensee's own version: only on acceptance, only outside of outputs, and the open tier does not notice."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import fastexcel
import polars as pl
import pyarrow.parquet
import pytest
from conftest import Said, Version

from hcpcs import open as open_library
from hcpcs.annotate.engine import open_version as open_for_annotation
from hcpcs.license_counts import licenses_of_version
from hcpcs.manifest import TierRefused
from hcpcs.paths import Outputs
from pipeline.versions.restricted import RestrictedRefused, request_restricted, write_restricted
from schemas.registry import contracts
from sources.curated.cpt_files import CptFileError, read_cpt_files

NOTICE = "A made-up notice of a made-up owner.\nAll rights made up, 60611 nowhere.\n\n"
LONG = NOTICE + "99213\tSample: a talk of some length, made up\n0042T\tSample: a picture, made up\n"
SHORT = NOTICE + "99213 SAMPLE TALK\n0042T SAMPLE PICTURE\n"
HEADING = (
    "Concept Id\tCPT Code\tLong\tMedium\tShort\tConsumer\tSpanish Consumer\tCurrent Descriptor Effective Date\t"
    "Test Name\tLab Name\tManufacturer Name\n"
)
LIST = (
    NOTICE
    + HEADING
    + "1\t99213\tSample: a talk of some length, made up\tSAMPLE TALK MADE UP\tSAMPLE TALK\tYou talk."
    + "\t\t20240101\t\t\t\n"
    + "2\t0001U\tSample: a test, made up\tSAMPLE TEST MADE UP\tSAMPLE TEST\t\t\t\tA\tB\tC\n"
    + "2\t0001U\tSample: a test, made up\tSAMPLE TEST MADE UP\tSAMPLE TEST\t\t\t\tD\tE\tF\n"
)


def written(folder: Path, **contents: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / f"{name}.txt").write_text(content)
    return [folder / f"{name}.txt" for name in contents]


def test_files_of_one_length_each_are_read_together(tmp_path: Path) -> None:
    listed = read_cpt_files(written(tmp_path, LONGULT=LONG, SHORTU=SHORT))
    assert [(file.name, file.layout, file.codes) for file in listed.files] == [
        ("LONGULT.txt", "tabbed", 2),
        ("SHORTU.txt", "blanked", 2),
    ]
    row = listed.codes.row(by_predicate=pl.col("code") == "99213", named=True)
    assert row["long_descriptor"] == "Sample: a talk of some length, made up"
    assert row["short_descriptor"] == "SAMPLE TALK"
    assert (row["source_file"], row["source_line"], row["valid_from"]) == ("LONGULT.txt", 4, None)


def test_a_consolidated_list_is_read_by_its_heading(tmp_path: Path) -> None:
    listed = read_cpt_files(written(tmp_path, anything=LIST))
    assert listed.files[0].layout == "consolidated"
    assert listed.codes["code"].to_list() == ["0001U", "99213"]
    assert listed.codes["valid_from"].to_list() == [None, dt.date(2024, 1, 1)]
    assert listed.codes["medium_descriptor"].to_list() == ["SAMPLE TEST MADE UP", "SAMPLE TALK MADE UP"]
    assert listed.codes["consumer_descriptor"].to_list() == [None, "You talk."]


def test_a_zip_and_a_folder_give_their_files_of_descriptors(tmp_path: Path) -> None:
    paths = written(tmp_path / "disk", LONGULT=LONG, SHORTU=SHORT, README="nothing")
    with zipfile.ZipFile(tmp_path / "disk.zip", "w") as compressed:
        for path in paths:
            compressed.write(path, f"some folder/{path.name}")
    assert read_cpt_files([tmp_path / "disk"]).codes.equals(read_cpt_files([tmp_path / "disk.zip"]).codes)


def test_a_file_of_unknown_name_is_told_by_the_length_of_its_descriptors(tmp_path: Path) -> None:
    listed = read_cpt_files(written(tmp_path, a=LONG, b=SHORT))
    assert listed.codes["short_descriptor"].null_count() == 0
    # Made-up descriptors of this length could be medium ones: nothing but the name tells.
    assert listed.codes["medium_descriptor"].null_count() == 0


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("LONGULT", "Nothing but words.\n", "LONGULT.txt: not a file of CPT descriptors"),
        ("LONGULT", "<html><body>Sign in</body></html>", "it begins with b'<html><body>Sign'"),
        ("LONGULT", LONG + "J1100\tSample\n", "LONGULT.txt: line 6: 'J1100' is no CPT code"),
        ("LONGULT", LONG + "D0120\tSample\n", "line 6: 'D0120' is no CPT code"),
        ("LONGULT", LONG + "what is this\n", "line 6: not a code and a descriptor"),
        ("LONGULT", LONG + "99214\t\n", "line 6: 99214 has no descriptor"),
        ("LONGULT", LONG + "99213\tSample: other words\n", "line 6: 99213 is on line 4 with other text"),
        ("LONGULT", LONG + "99214\tSample\tSAMPLE\n", "line 6: more than a code and a descriptor"),
        ("SHORTU", LONG, "SHORTU.txt: line 4: the short descriptor of 99213 has 38 characters, not 28 at most"),
        ("codes", HEADING, "line 1: there is no code under the heading"),
        ("codes", LIST + "3\t99214\tSample\n", "line 8: 3 columns"),
        ("codes", LIST.replace("20240101", "20241301"), "line 5: '20241301' is no day"),
        ("codes", "PK\0\0\0", "codes.txt: not a text"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(tmp_path: Path, name: str, content: str, what: str) -> None:
    with pytest.raises(CptFileError) as error:
        read_cpt_files(written(tmp_path, **{name: content}))
    assert what in str(error.value)


def test_files_of_two_editions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CptFileError, match=r"SHORTU.txt: its codes are not those of LONGULT.txt: 1 .* 99214"):
        read_cpt_files(written(tmp_path, LONGULT=LONG, SHORTU=SHORT + "99214 SAMPLE\n"))
    with pytest.raises(CptFileError, match=r"is not as LONGULT\.txt has it"):
        read_cpt_files(written(tmp_path, LONGULT=LONG, LONGUT=LONG.replace("talk", "TALK")))


def test_without_acceptance_it_is_refused_and_the_terms_are_told(sample: Version, tmp_path: Path) -> None:
    files = written(tmp_path, LONGULT=LONG)
    for accepted in (None, "yes"):
        with pytest.raises(RestrictedRefused) as error:
            request_restricted(sample.outputs, tmp_path / "own", files, accepted=accepted)
        assert "--accept ama-cpt" in str(error.value)
        assert "give CPT codes and descriptors to nobody" in str(error.value)
    assert not (tmp_path / "own").exists()


def test_a_folder_within_or_around_outputs_is_refused(sample: Version, tmp_path: Path) -> None:
    files = written(tmp_path, LONGULT=LONG)
    (tmp_path / "link").symlink_to(sample.outputs.folder)
    inside = sample.outputs.folder / "restricted"
    for folder in (inside, sample.outputs.folder, sample.outputs.folder.parent, tmp_path / "link" / "own"):
        with pytest.raises(RestrictedRefused, match="a folder of its own"):
            request_restricted(sample.outputs, folder, files, accepted="ama-cpt")
    assert not inside.exists()


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_restricted_version_has_everything_and_the_open_one_stays_as_it_was(
    own_sample: Outputs, tmp_path: Path
) -> None:
    before = hashes(own_sample.folder)
    request = request_restricted(own_sample, tmp_path / "own", written(tmp_path, codes=LIST), accepted="ama-cpt")
    done = write_restricted(own_sample, request)
    assert hashes(own_sample.folder) == before

    open_folder = own_sample.latest_link.resolve()
    assert done.is_new and done.version == f"{open_folder.name}-r1"
    tables = {path.stem for path in (done.folder / "restricted").glob("*.parquet")}
    assert tables == set(contracts()) | {"cpt_codes"}
    modifiers = pl.read_parquet(done.folder / "restricted" / "hcpcs_modifiers.parquet").filter(code="P3")
    assert modifiers["long_description"].null_count() == 0
    assert modifiers["redistribution"].to_list() == ["withheld"]
    hidden = pl.read_parquet(open_folder / "open" / "hcpcs_modifiers.parquet").filter(code="P3")
    assert hidden["long_description"].null_count() == 1

    codes = pl.read_parquet(done.folder / "restricted" / "cpt_codes.parquet")
    assert codes.select("code", "category", "section", "valid_from_basis", "redistribution").rows() == [
        ("0001U", "PLA", "cpt-pla", "not_stated", "withheld"),
        ("99213", "Category I", "cpt-evaluation-management", "descriptor", "withheld"),
    ]
    assert set(codes["license_id"]) == {"LicenseRef-AMA-CPT"}
    schema = pyarrow.parquet.read_schema(done.folder / "restricted" / "cpt_codes.parquet")
    assert (
        schema.metadata[b"hcpcs.tier"] == b"restricted" and b"do not redistribute" in schema.metadata[b"hcpcs.notice"]
    )


def test_the_notice_and_the_manifest_are_inside(own_sample: Outputs, tmp_path: Path) -> None:
    request = request_restricted(own_sample, tmp_path / "own", written(tmp_path, codes=LIST), accepted="ama-cpt")
    folder = write_restricted(own_sample, request).folder
    manifest = json.loads((folder / "manifest.json").read_text())["content"]
    assert manifest["tier"] == "restricted"
    own = manifest["restricted"]
    assert own["notice"] == (folder / "NOTICE.txt").read_text()
    assert "trademark of the American Medical Association" in own["notice"]
    assert "LicenseRef-AMA-CPT" in own["licenses"]
    assert own["cpt_files"][0]["sha256"] == hashlib.sha256(LIST.encode()).hexdigest()
    assert set(manifest["files"]) == set(hashes(folder)) - {"manifest.json"}
    assert {row["license_id"] for row in licenses_of_version(folder) if row["table"] == "cpt_codes"} == {
        "CC0-1.0",
        "LicenseRef-AMA-CPT",
    }


def test_the_same_is_not_written_twice_and_another_edition_is(own_sample: Outputs, tmp_path: Path) -> None:
    def write(content: str) -> tuple[str, bool]:
        paths = written(tmp_path, codes=content)
        done = write_restricted(own_sample, request_restricted(own_sample, tmp_path / "own", paths, accepted="ama-cpt"))
        return done.version.rsplit("-", 1)[1], done.is_new

    assert write(LIST) == ("r1", True)
    assert write(LIST) == ("r1", False)
    assert write(LIST.replace("SAMPLE TALK\t", "SAMPLE TALK 2\t")) == ("r2", True)
    assert [p.name for p in (tmp_path / "own").iterdir() if p.name.startswith(".")] == []


def test_tables_that_are_not_those_of_the_latest_version_are_refused(own_sample: Outputs, tmp_path: Path) -> None:
    request = request_restricted(own_sample, tmp_path / "own", written(tmp_path, codes=LIST), accepted="ama-cpt")
    path = own_sample.work / "hcpcs_codes.parquet"
    pl.read_parquet(path).head(3).write_parquet(path)
    with pytest.raises(RestrictedRefused, match="run `hcpcs refresh` first"):
        write_restricted(own_sample, request)
    assert not list((tmp_path / "own").glob("*"))


def test_no_restricted_table_is_among_the_published_ones() -> None:
    assert "cpt_codes" not in contracts() and "restricted" not in contracts()


# --- who reads it ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def licensee(sample: Version, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outputs, Path]:
    """A licensee's outputs, and the folder of the restricted version beside them; read only."""
    folder = tmp_path_factory.mktemp("licensee")
    outputs = Outputs(folder / "outputs")
    shutil.copytree(sample.outputs.folder, outputs.folder, symlinks=True)
    request = request_restricted(outputs, folder / "own", written(folder, codes=LIST), accepted="ama-cpt")
    return outputs, write_restricted(outputs, request).folder


Hcpcs = Callable[..., Said]


def test_verify_takes_the_restricted_tier_and_finds_what_was_changed(
    hcpcs: Hcpcs, licensee: tuple[Outputs, Path], tmp_path: Path
) -> None:
    _, folder = licensee
    said = hcpcs("verify", folder, "--json")
    report = json.loads(said.out)
    assert (said.status, report["problems"]) == (0, []) and "not checked" in report["checks"]["license_gate"]
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    path = copy / "restricted" / "cpt_codes.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    (copy / "restricted" / "more.parquet").write_bytes(b"x")
    said = hcpcs("verify", copy, "--json")
    assert said.status == 1
    assert {p["file"] for p in json.loads(said.out)["problems"]} == {
        "restricted/cpt_codes.parquet",
        "restricted/more.parquet",
    }


def test_diff_compares_the_open_version_with_the_restricted_one(hcpcs: Hcpcs, licensee: tuple[Outputs, Path]) -> None:
    outputs, folder = licensee
    said = hcpcs("diff", "latest", folder, "--outputs", outputs.folder, "--json")
    assert said.status == 0
    found = json.loads(said.out)
    assert found["tables_added"] == ["cpt_codes"]
    assert found["tables"]["hcpcs_modifiers"]["changed"] >= 1, "the words that the open tier withholds"


def test_annotate_and_export_read_it_only_where_that_is_said(
    hcpcs: Hcpcs, licensee: tuple[Outputs, Path], tmp_path: Path
) -> None:
    outputs, folder = licensee
    claims = tmp_path / "claims.csv"
    claims.write_text("code,day\nA0080,2025-01-01\n99213,2025-01-01\n")
    usual = ("--code", "code", "--date", "day", "--outputs", outputs.folder)
    said = hcpcs("annotate", claims, tmp_path / "out.parquet", *usual, "--version", folder, "--tier", "restricted")
    assert said.status == 0 and f"annotated with version {folder.name}" in said.out
    assert hcpcs("annotate", claims, tmp_path / "open.parquet", *usual).status == 0
    # No code of the sample is withheld: the same answers, read from the other tier's tables.
    assert pl.read_parquet(tmp_path / "out.parquet").equals(pl.read_parquet(tmp_path / "open.parquet"))

    wanted = ("export", "--version", folder, "--outputs", outputs.folder, "--tier", "restricted", "--csv")
    said = hcpcs(*wanted, tmp_path / "csv")
    assert said.status == 0 and "may not be redistributed" in said.err
    assert "Sample: a talk of some length" in (tmp_path / "csv" / "cpt_codes.csv").read_text()
    said = hcpcs(*wanted, outputs.folder / "csv")
    assert said.status == 1 and "nothing restricted is written" in said.err and not (outputs.folder / "csv").exists()
    said = hcpcs("annotate", claims, *usual, "--tier", "restricted")
    assert said.status == 1 and "of the tier open, not restricted" in said.err


@pytest.mark.parametrize("form", ["excel", "fhir", "omop", "sqlite", "tuva"])
def test_an_export_of_it_has_its_own_notice(
    hcpcs: Hcpcs, licensee: tuple[Outputs, Path], tmp_path: Path, form: str
) -> None:
    outputs, folder = licensee
    target = tmp_path / "export"
    wanted = ("--version", folder, "--outputs", outputs.folder, "--tier", "restricted")
    said = hcpcs("export", f"--{form}", target, *wanted)
    assert said.status == 0, said.err
    if form == "excel":
        sheets = fastexcel.read_excel(target.read_bytes()).load_sheet("notice", header_row=None).to_polars()
        notice = "\n".join(sheets.to_series().drop_nulls())
    else:
        notice = (target / "NOTICE.txt").read_text()
    assert "RESTRICTED: do not redistribute" in notice and "no CPT descriptor" not in notice
    if form == "fhir":
        (line,) = (target / "CodeSystem.ndjson").read_text().splitlines()[-1:]
        assert next(c for c in json.loads(line)["concept"] if c["code"] == "P1")["display"]
        assert sorted(p.name for p in target.glob("*.tgz"))[0] == f"hcpcs.history.r4-{folder.name}.tgz"


@pytest.mark.parametrize(
    "command",
    [
        ("annotate", "CLAIMS", "--code", "code", "--on", "2025-01-01"),
        ("export", "--duckdb", "OUT"),
        ("lookup", "J1100"),
        ("search", "sample"),
        ("history", "J1100"),
        ("changes", "2025-10"),
        ("classify", "99213"),
        ("licenses",),
        ("systems",),
        ("sections",),
        ("check", "CLAIMS", "--on", "2025-01-01"),
        ("publish", "OUT"),
    ],
    ids=lambda command: command[0],
)
def test_every_other_command_refuses_it(
    hcpcs: Hcpcs, licensee: tuple[Outputs, Path], tmp_path: Path, command: tuple[str, ...]
) -> None:
    outputs, folder = licensee
    (tmp_path / "claims.csv").write_text("code\nA0080\n")
    named = {"CLAIMS": tmp_path / "claims.csv", "OUT": tmp_path / "out"}
    said = hcpcs(*(named.get(c, c) for c in command), "--version", folder, "--outputs", outputs.folder)
    assert said.status == 1 and "is of the tier restricted" in said.err and "--tier restricted" in said.err
    assert said.out == "" and not (tmp_path / "out").exists()


def test_sql_and_python_refuse_it(hcpcs: Hcpcs, licensee: tuple[Outputs, Path]) -> None:
    _, folder = licensee
    said = hcpcs("sql", "annotate", "--version-folder", folder)
    assert said.status == 1 and "is of the tier restricted" in said.err and said.out == ""
    with pytest.raises(TierRefused):
        open_library(folder)
    with pytest.raises(TierRefused):
        open_for_annotation(folder, ())
