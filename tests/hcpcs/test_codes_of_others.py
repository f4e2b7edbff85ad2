"""Codes asked for at the command line as people type them: CMS's, those of others, and days that no release decides."""

from __future__ import annotations

import json
from typing import Any

import pytest

OTHERS = [
    ("99213", "AMA", "Evaluation and management"),
    ("0001U", "AMA", "proprietary laboratory"),
    ("D0120", "ADA", "Dental"),
    ("W1234", "payers", "until 2003-12-31"),
    ("25", "AMA", "CPT modifiers"),
    ("99213-25", "AMA", "CPT Category I"),
]


@pytest.mark.parametrize(("typed", "owner", "words"), OTHERS, ids=[o[0] for o in OTHERS])
@pytest.mark.parametrize("day", [(), ("--on", "2018-06-30")], ids=["now", "on a day"])
def test_a_code_that_cms_does_not_publish_is_answered_with_its_owner(hcpcs, sample, typed, owner, words, day):
    done = hcpcs("lookup", typed, *day, "--outputs", sample.outputs.folder)
    assert done.status == 0
    assert owner in done.out and words in done.out and "no CMS release can state" in done.out
    read = hcpcs("lookup", typed, *day, "--json", "--outputs", sample.outputs.folder)
    answer: Any = json.loads(read.out)
    identity = answer if day else answer[0]
    assert identity["code"] == typed[:5] and identity["license_id"].startswith("LicenseRef-")
    assert identity["status"] in ("not_loaded", "system_ended")


def test_the_history_and_the_search_of_such_a_code_name_its_owner(hcpcs, sample):
    history = hcpcs("history", "99213", "--outputs", sample.outputs.folder)
    assert (history.status, history.out) == (1, "") and "belong to the AMA" in history.err
    found = hcpcs("search", "99213", "--json", "--outputs", sample.outputs.folder)
    assert (found.status, json.loads(found.out)) == (0, []) and "belong to the AMA" in found.err


def test_a_code_of_cms_that_no_release_states_is_an_error(hcpcs, sample):
    for command in (("lookup", "J9998"), ("lookup", "J9998", "--on", "2018-06-30"), ("history", "J9998")):
        done = hcpcs(*command, "--outputs", sample.outputs.folder)
        assert (done.status, done.out) == (1, "")
        assert "no loaded release states 'J9998'; it has the format of HCPCS Level II" in done.err


@pytest.mark.parametrize("typed", ["J0570-JW", "j0570jw", "HC:J0570:JW"])
def test_what_is_cut_off_a_code_is_stated(hcpcs, sample, typed):
    done = hcpcs("lookup", typed, "--on", "2018-06-30", "--outputs", sample.outputs.folder)
    assert done.status == 0 and done.out.startswith("J0570 on 2018-06-30: ")
    assert done.err == f"{typed} is read as J0570, without JW\n"


@pytest.mark.parametrize(
    ("day", "caution"),
    [
        ("2027-01-01", "the newest loaded release is 2025-10"),
        ("2018-06-30", "CMS's release 2018-01 is not loaded"),
        ("2005-01-01", "the oldest loaded release is 2012-01"),
        ("2017-06-30", None),  # 2017-01 is loaded, and the next that CMS posted is 2018-01
        ("2025-11-15", None),
    ],
)
def test_a_day_carries_a_caution_only_where_its_release_is_not_loaded(hcpcs, sample, day, caution):
    loaded = {
        r["release_id"]
        for r in json.loads(hcpcs("releases", "--json", "--outputs", sample.outputs.folder).out)["loaded"]
    }
    assert {"2012-01", "2017-01", "2025-10"} <= loaded and "2018-01" not in loaded
    done = hcpcs("lookup", "J0570", "--on", day, "--outputs", sample.outputs.folder)
    answer = json.loads(hcpcs("lookup", "J0570", "--on", day, "--json", "--outputs", sample.outputs.folder).out)
    if caution is None:
        assert answer["caution"] is None and "note:" not in done.out
    else:
        assert caution in answer["caution"] and f"note: {answer['caution']}" in done.out


def test_a_typo_is_forgiven_and_stated(hcpcs, sample):
    right = hcpcs("search", "penicillin", "--json", "--outputs", sample.outputs.folder)
    typo = hcpcs("search", "penicilin", "--json", "--outputs", sample.outputs.folder)
    assert (right.err, right.status, typo.status) == ("", 0, 0)
    assert [r["code"] for r in json.loads(typo.out)] == [r["code"] for r in json.loads(right.out)] != []
    assert "searched for 'penicillin'" in typo.err


def test_a_search_compares_without_spaces_in_amounts_and_names_a_code(hcpcs, sample):
    rows = json.loads(hcpcs("search", "DRUG,", "74.2mg", "--json", "--outputs", sample.outputs.folder).out)
    assert "J0570" in {r["code"] for r in rows}
    rows = json.loads(hcpcs("search", "j0570", "--json", "--outputs", sample.outputs.folder).out)
    assert {r["code"] for r in rows} == {"J0570"}
    assert [r["is_active"] for r in rows] == sorted((r["is_active"] for r in rows), reverse=True)


def test_systems_and_sections_are_listed(hcpcs, sample):
    systems = json.loads(hcpcs("systems", "--json", "--outputs", sample.outputs.folder).out)
    assert {"hcpcs-level-2", "cpt-category-1", "cdt"} <= {r["code_system_id"] for r in systems}
    rows = json.loads(hcpcs("sections", "cdt", "--json", "--outputs", sample.outputs.folder).out)
    assert {r["code_system_id"] for r in rows} == {"cdt"}
    assert "hcpcs-level-2" in hcpcs("systems", "--outputs", sample.outputs.folder).out
    wrong = hcpcs("sections", "cdx", "--outputs", sample.outputs.folder)
    assert (wrong.status, wrong.out) == (1, "") and "no code system 'cdx'" in wrong.err
