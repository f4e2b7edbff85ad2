"""``hcpcs changes`` and ``findings`` at the command line: options, refusals, and tables of 80 columns."""

from __future__ import annotations

import csv
import io
import json

import pytest


def test_the_latest_changes_of_a_list_as_csv(hcpcs, sample, tmp_path):
    where = ("--outputs", sample.outputs.folder)
    latest, named = (hcpcs("changes", r, "--json", *where) for r in ("latest", "2025-10"))
    assert latest.out == named.out and json.loads(latest.out)
    (tmp_path / "codes.txt").write_text("J0570\n")
    options = ("--codes", tmp_path / "codes.txt", "--change", "reused", "--csv")
    done = hcpcs("changes", "2017-01", *options, *where)
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert done.status == 0 and rows and {(r["code"], r["change"]) for r in rows} == {("J0570", "reused")}
    assert all(r["description"] for r in rows)


def test_added_codes_have_their_description_and_ended_ones_what_replaced_them(hcpcs, sample, tmp_path):
    where = ("--outputs", sample.outputs.folder)
    codes = {(r["code"], r["episode"]): r for r in sample.open("hcpcs_codes").to_dicts()}
    changes = sample.open("hcpcs_changes").to_dicts()
    added = next(r for r in changes if r["change"] == "added" and r["kind"] == "procedure")
    ended = next(
        r
        for r in changes
        if r["change"] == "discontinued" and codes.get((r["code"], r["episode"]), {"replaced_by": []})["replaced_by"]
    )
    for change, key, value in (
        (added, "description", codes[added["code"], added["episode"]]["long_description"]),
        (ended, "replaced_by", codes[ended["code"], ended["episode"]]["replaced_by"]),
    ):
        (tmp_path / "codes.csv").write_text(f"hcpcs_code,note\n{change['code'].lower()}-25,x\n")
        options = ("--codes", tmp_path / "codes.csv", "--change", change["change"])
        (row,) = json.loads(hcpcs("changes", change["release_id"], *options, "--json", *where).out)
        assert (row["code"], row[key]) == (change["code"], value)
        printed = hcpcs("changes", change["release_id"], *options, *where).out
        assert ("replaced by " + ", ".join(value) if key == "replaced_by" else value.split()[0]) in printed


def test_what_cannot_be_asked_is_one_line(hcpcs, sample, tmp_path):
    where = ("--outputs", sample.outputs.folder)
    (tmp_path / "empty.txt").write_text("")
    for options, status, words in [
        (("--change", "renamed"), 1, "there are no changes renamed; there are: action_date, added"),
        (("--codes", tmp_path / "empty.txt"), 1, "contains no code"),
        (("--codes", tmp_path / "none.txt"), 2, "does not exist"),
        (("--csv", "--json"), 2, "choose one of --json and --csv"),
    ]:
        said = hcpcs("changes", "2017-01", *options, *where)
        assert (said.status, said.out) == (status, "") and words in said.err and "Traceback" not in said.err
    (tmp_path / "codes.txt").write_text("99213")
    none = hcpcs("changes", "2017-01", "--codes", tmp_path / "codes.txt", *where)
    assert (none.status, none.out) == (0, "no changes of 2017-01 of these codes or classes\n")


def test_what_is_not_loaded_is_refused_alike(hcpcs, sample):
    said = [hcpcs(c, "2018-01", "--outputs", sample.outputs.folder) for c in ("changes", "findings")]
    assert [(s.status, s.out) for s in said] == [(1, "")] * 2
    assert said[0].err == said[1].err and "release 2018-01 is not loaded" in said[0].err


@pytest.mark.parametrize("question", ["changes 2017-01", "findings", "search penicillin", "systems", "sections"])
def test_a_table_fits_80_columns(hcpcs, sample, question, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    done = hcpcs(*question.split(), "--outputs", sample.outputs.folder)
    assert done.status == 0 and max(map(len, done.out.splitlines())) <= 80
