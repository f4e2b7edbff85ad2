"""What a refused input or damaged bytes leave behind: nothing that stops, or changes, the next refresh."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import Said, built_once, manifest_of, published
from made_up import Posting, posting, record

from hcpcs.paths import Outputs
from pipeline.refresh.refresh import refresh
from pipeline.versions.store import latest_version
from schemas.contract import ContractViolation

RECORDS = (record("A1"), record("A0080"), record("V5364"))
JANUARY = posting("2025-01", *RECORDS)
OCTOBER = posting("2025-10", *RECORDS, record("J1000"))
#: A further posting of a loaded release: what it says must not reach the next version through the staged tables.
AGAIN = posting("2025-01", *RECORDS, record("J9999"), version="_v2")


def offered(folder: Path, *postings: Posting) -> Path:
    for one in postings:
        one.write(folder)
    return folder


def contents(outputs: Outputs) -> dict[str, Any]:
    version = latest_version(outputs)
    assert version is not None
    content: dict[str, Any] = manifest_of(outputs.version(version))["content"]
    return content


@dataclass(frozen=True)
class Undisturbed:
    """Outputs that have January, and the content of the version that October then makes."""

    january: Outputs
    content: dict[str, Any]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    def build(folder: Path) -> Undisturbed:
        january, both = Outputs(folder / "january"), Outputs(folder / "both")
        refresh(january, offered=offered(folder / "in", JANUARY))
        shutil.copytree(january.folder, both.folder, symlinks=True)
        refresh(both, offered=offered(folder / "more", OCTOBER))
        return Undisturbed(january, contents(both))

    return built_once(tmp_path_factory, "undisturbed", build)


@pytest.fixture
def january(undisturbed: Undisturbed, tmp_path: Path) -> Outputs:
    """Outputs with one published release, for one test to change."""
    shutil.copytree(undisturbed.january.folder, tmp_path / "outputs", symlinks=True)
    return Outputs(tmp_path / "outputs")


def zip_that_is_none(_: pytest.MonkeyPatch) -> Posting:
    return posting("2025-01", *RECORDS, name="again.zip")


def unread_record(_: pytest.MonkeyPatch) -> Posting:
    (name, text) = next(iter(AGAIN.members.items()))
    lines = text.splitlines(keepends=True)
    lines[-1] = lines[-1][:10] + b"5" + lines[-1][11:]
    return Posting(release_id="2025-01", name="again.zip", members={name: b"".join(lines)})


def breaks_the_contract(patch: pytest.MonkeyPatch) -> Posting:
    from pipeline.orchestration.assets import checked

    def refuse(name: str, frame: pl.DataFrame) -> pl.DataFrame:
        row = {"column": ["code"], "check": ["made to"], "value": ["fail"], "row": [""]}
        raise ContractViolation(name, pl.DataFrame(row))

    patch.setattr(checked, "enforce", refuse)
    return AGAIN


def fails_a_check(patch: pytest.MonkeyPatch) -> Posting:
    from pipeline.orchestration.assets import history

    patch.setattr(history.history, "overlapping_spans", lambda spans: spans.head(1))
    return AGAIN


def leaks(_: pytest.MonkeyPatch) -> Posting:
    return posting(
        "2025-01", *RECORDS, record("J9999"), version="_v2", side={"Transmittal_12345.pdf": b"%PDF-1.4 sample"}
    )


def fills_the_disk(patch: pytest.MonkeyPatch) -> Posting:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    patch.setattr("pipeline.versions.publish.write_descriptors", full)
    return AGAIN


STEPS = {
    zip_that_is_none: "not a zip",
    unread_record: "record id 5",
    breaks_the_contract: "breaks its contract",
    fails_a_check: "spans_do_not_overlap",
    leaks: "transmittal12345pdf",
    fills_the_disk: "No space left on device",
}


def test_after_refusals_at_every_step_the_next_refresh_is_as_if_nothing_had_been_offered(
    january: Outputs, hcpcs: Callable[..., Said], tmp_path: Path, undisturbed: Undisturbed
) -> None:
    before = published(january)
    for step, words in STEPS.items():
        with pytest.MonkeyPatch.context() as patch:
            folder = tmp_path / step.__name__
            bad = step(patch).write(folder)
            if step is zip_that_is_none:
                bad.write_bytes(b"no zip at all")
            refused = hcpcs("refresh", "--from", folder, "--outputs", january.folder)
        assert refused.status == 1 and words in refused.err, (step.__name__, refused.err)
        assert "Traceback" not in refused.err
        assert published(january) == before, step.__name__
    good = offered(tmp_path / "good", OCTOBER)
    done = hcpcs("refresh", "--from", good, "--outputs", january.folder, "--json")
    assert done.status == 0, done.err
    assert contents(january) == undisturbed.content


def test_a_refused_build_names_what_was_offered_and_the_way_out(
    january: Outputs, hcpcs: Callable[..., Said], tmp_path: Path
) -> None:
    bad = posting("2025-10", *RECORDS, name="october.zip", side={"Transmittal_12345.pdf": b"%PDF-1.4 sample"})
    folder = offered(tmp_path / "bad", bad)
    refused = hcpcs("refresh", "--from", folder, "--outputs", january.folder)
    assert refused.status == 1
    assert "2025-10 (october.zip)" in refused.err and "hcpcs releases exclude YYYY-MM" in refused.err
    excluded = hcpcs("releases", "exclude", "2025-10", "--reason", "its name leaks", "--outputs", january.folder)
    assert excluded.status == 0, excluded.err
    done = hcpcs("refresh", "--from", folder, "--outputs", january.folder)
    assert done.status == 0, done.err
    assert {r["release_id"] for r in contents(january)["releases"]} == {"2025-01"}


def test_a_refused_file_whose_name_looks_like_a_code_is_left_out_with_skip_bad(
    january: Outputs, hcpcs: Callable[..., Said], tmp_path: Path
) -> None:
    folder = offered(tmp_path / "in", OCTOBER)
    (folder / "2025-10" / "99213.zip").write_bytes(b"no zip at all")
    done = hcpcs("refresh", "--from", folder, "--skip-bad", "--outputs", january.folder)
    assert done.status == 0, done.err
    assert {r["release_id"] for r in contents(january)["releases"]} == {"2025-01", "2025-10"}
    (missing,) = contents(january)["missing"]
    assert "99213" not in missing


# --- damaged bytes ---------------------------------------------------------------------------------------------------


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def without_its_last_record(path: Path) -> None:
    """What a file of an older state is: whole, readable, and not what the zips say."""
    frame = pl.read_parquet(path)
    frame.head(max(frame.height - 1, 0)).write_parquet(path, compression="lz4")


@pytest.mark.parametrize(
    ("table", "damage"),
    [
        pytest.param(table, damage, id=f"{table}-{damage.__name__}", marks=pytest.mark.slow if is_slow else ())
        for table, damage, is_slow in [
            ("staged_records", cut, True),
            ("staged_findings", cut, False),
            ("staged_records", emptied, True),
            ("staged_findings", emptied, True),
            ("staged_records", without_its_last_record, True),
            ("staged_findings", without_its_last_record, True),
            ("staged_records", Path.unlink, True),
            ("staged_findings", Path.unlink, True),
        ]
    ],
)
def test_a_damaged_staged_table_is_made_again(
    damage: Callable[[Path], None],
    table: str,
    january: Outputs,
    hcpcs: Callable[..., Said],
    tmp_path: Path,
    undisturbed: Undisturbed,
) -> None:
    damage(january.work / table / "2025-01.parquet")
    done = hcpcs("refresh", "--from", offered(tmp_path / "in", OCTOBER), "--outputs", january.folder)
    assert done.status == 0, done.err
    assert contents(january) == undisturbed.content


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_flipped_byte_in_the_archive_is_reported_and_the_good_zip_heals_it(
    january: Outputs, hcpcs: Callable[..., Said], tmp_path: Path
) -> None:
    assert hcpcs("verify", "--archive", "--outputs", january.folder).status == 0
    (kept,) = (january.archive / "zips").glob("*.zip")
    flip(kept)
    said = hcpcs("verify", "--archive", "--outputs", january.folder)
    assert said.status == 1 and "2025-01" in said.out and "--from" in said.out
    as_json = hcpcs("verify", "--archive", "--json", "--outputs", january.folder)
    assert as_json.status == 1 and json.loads(as_json.out)["ok"] is False
    assert "archive damaged: 2025-01" in hcpcs("status", "--outputs", january.folder).out
    shutil.rmtree(january.work)
    needed = hcpcs("refresh", "--from", offered(tmp_path / "more", OCTOBER), "--outputs", january.folder)
    assert needed.status == 1 and "is damaged" in needed.err and "Traceback" not in needed.err
    healed = hcpcs("refresh", "--from", offered(tmp_path / "january", JANUARY), "--outputs", january.folder)
    assert healed.status == 0, healed.err
    assert hcpcs("verify", "--archive", "--outputs", january.folder).status == 0
    assert json.loads(hcpcs("status", "--json", "--outputs", january.folder).out)["damaged"] == []


def test_a_lost_zip_is_fetched_anew_from_the_site(
    hcpcs: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from site_server import SiteServer
    from test_refresh_from_site import JULY, zip_of

    monkeypatch.setattr("sources.site.polling.load_known_releases", lambda: ())
    outputs = Outputs(tmp_path / "outputs")
    with SiteServer() as site:
        site.list_links([(JULY, "July 2026 file")])
        site.put(JULY, zip_of(tmp_path / "made", "2026-07", "A0001"))
        assert hcpcs("refresh", "--site", site.url, "--outputs", outputs.folder).status == 0
        (kept,) = (outputs.archive / "zips").glob("*.zip")
        flip(kept)
        assert hcpcs("refresh", "--site", site.url, "--outputs", outputs.folder).status == 0
    assert hcpcs("verify", "--archive", "--outputs", outputs.folder).status == 0
