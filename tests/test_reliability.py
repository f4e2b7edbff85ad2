"""A short run of `make faults` and of `make fuzz`: few rounds and inputs, always the same; see docs/reliability.md."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from conftest import REPOSITORY

from benchmarks.faults import FAULTS, Faults
from benchmarks.fuzz import Input, fuzz, make_input, print_table
from sources.archive.zips import read_zip
from sources.errors import SourceError
from sources.release.member_roles import member_role

SEED = 11


@pytest.mark.slow
def test_refreshes_that_are_killed_lose_nothing_and_the_next_run_mends_all(tmp_path: Path) -> None:
    told = Faults(SEED, 2, tmp_path, None).run()
    assert (told.rounds, told.racing, told.runs) == (2, 1, 2)
    assert told.kills.total() + told.ended_before >= 2
    assert told.versions >= 1
    assert {kind: told.faults[kind] for kind in FAULTS} == dict.fromkeys(FAULTS, 0)


@pytest.mark.slow
def test_damaged_releases_end_in_a_version_or_in_a_refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one_base = [n for n in range(400) if make_input(SEED, n, None).base == "made-up both" and n % 40 != 3][:10]
    told = fuzz(one_base, SEED, None, tmp_path)
    assert {n: o.fault for n, o in told.outcomes.items() if o.fault} == {}
    assert set(told.outcomes) == set(one_base)
    words = {o.words for o in told.outcomes.values()}
    assert "version" in words and any(w.startswith("refused") for w in words)
    print_table(told, SEED, None)
    assert "| **all** |" in capsys.readouterr().out


def test_a_damaged_zip_is_read_or_refused(tmp_path: Path) -> None:
    """The first look alone, which is quick: many more inputs than go through the pipeline here."""
    refused = 0
    for number in random.Random(SEED).sample(range(100_000), 150):
        one: Input = make_input(SEED, number, None)
        path = tmp_path / "offered.zip"
        path.write_bytes(one.data)
        try:
            members = read_zip(path)
        except SourceError as error:
            refused += 1
            assert str(error).startswith("offered.zip: ") and str(error).isprintable() and len(str(error)) < 500
            continue
        for member in members:
            assert member_role(member.name, member.data), one
    assert 10 < refused < 100


def test_the_same_number_is_the_same_input() -> None:
    assert make_input(SEED, 5, None) == make_input(SEED, 5, None)
    assert make_input(SEED, 5, None).data != make_input(SEED + 1, 5, None).data


def test_anyone_can_run_both() -> None:
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    for name in ("faults", "fuzz"):
        assert f"-m benchmarks.{name}" in makefile and (REPOSITORY / "benchmarks" / f"{name}.py").exists()
