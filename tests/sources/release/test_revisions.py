"""Revisions: which postings differ, and the order that lies in their members, whatever was posted first to us."""

from __future__ import annotations

from itertools import permutations

import pytest

from sources.archive.archive import ArchivedMember, ArchivedZip
from sources.findings import Finding
from sources.release.revisions import Revision, postings_of, revisions_of


def member(name: str, content: str, *, date: str | None = None, role: str = "code_text") -> ArchivedMember:
    return ArchivedMember(name, content * 64, 100, date, role)


def zip_of(*members: ArchivedMember, sha: str = "0") -> ArchivedZip:
    return ArchivedZip(sha * 64, f"{sha}.zip", 100, "2025-10", False, members)


def found_in(zips: list[ArchivedZip]) -> tuple[list[Revision], list[Finding]]:
    return revisions_of(postings_of(zips), {})


def order(*zips: ArchivedZip) -> list[str]:
    """Names of the first code member of each revision, the same for every order of arrival."""
    found = {tuple(r.members[0].name for r in found_in(list(p))[0]) for p in permutations(zips)}
    assert len(found) == 1
    return list(found.pop())


def test_a_version_in_the_name_decides_first() -> None:
    zips = [
        zip_of(member("HCPC2025_OCT_ANWEB_v10.xlsx", "a", date="2025-09-01"), sha="1"),
        zip_of(member("HCPC2025_OCT_ANWEB_v2.xlsx", "b", date="2025-09-20"), sha="2"),
        zip_of(member("HCPC2025_OCT_ANWEB.xlsx", "c", date="2025-09-30"), sha="3"),
    ]
    assert order(*zips) == [
        "HCPC2025_OCT_ANWEB.xlsx",
        "HCPC2025_OCT_ANWEB_v2.xlsx",
        "HCPC2025_OCT_ANWEB_v10.xlsx",
    ]


@pytest.mark.parametrize("name", ["a_V3.txt", "a v3.txt", "a-v3.txt", "a_w_disclaimer_v3.txt"])
def test_a_version_is_known_in_every_spelling(name: str) -> None:
    assert order(zip_of(member(name, "a"), sha="1"), zip_of(member("a_v2.txt", "b"), sha="2")) == ["a_v2.txt", name]


def test_then_a_date_in_the_name_decides() -> None:
    zips = [
        zip_of(member("HCPC2025_JAN_ANWEB_01102025.txt", "a", date="2024-01-01"), sha="1"),
        zip_of(member("HCPC2025_JAN_ANWEB_12172024.txt", "b", date="2025-01-01"), sha="2"),
        zip_of(member("HCPC2025_JAN_ANWEB_20241231.txt", "c"), sha="3"),
    ]
    assert [name[-12:-4] for name in order(*zips)] == ["12172024", "20241231", "01102025"]


def test_then_the_entries_dates_decide() -> None:
    zips = [
        zip_of(member("a.txt", "a", date="2019-02-01"), sha="1"),
        zip_of(member("b.txt", "b", date="2018-11-03"), sha="2"),
        zip_of(member("c.txt", "c", date=None), sha="3"),
    ]
    assert order(*zips) == ["c.txt", "b.txt", "a.txt"]
    assert found_in(zips)[1] == []


def test_without_evidence_hashes_decide_and_a_finding_says_so() -> None:
    zips = [zip_of(member("b.txt", "a"), sha="2"), zip_of(member("a.txt", "b"), sha="1")]
    assert order(*zips) == ["b.txt", "a.txt"]
    (found,) = found_in(zips)[1]
    assert (found.finding, found.severity) == ("revision_order_unknown", "warning")
    assert "a.txt" in found.message and "b.txt" in found.message


def test_the_same_code_file_in_another_zip_is_no_revision() -> None:
    first = zip_of(member("a.txt", "a"), member("notes.txt", "n", role="processing_notes"), sha="1")
    again = zip_of(member("a.txt", "a"), member("notes.txt", "m", role="processing_notes"), sha="2")
    assert order(first, again) == ["a.txt"]


def test_a_zip_with_a_part_of_the_code_members_is_no_revision() -> None:
    both = zip_of(member("a.txt", "a"), member("a.xlsx", "b", role="code_workbook"), sha="1")
    text_alone = zip_of(member("a.txt", "a"), sha="2")
    assert order(both, text_alone) == ["a.txt"]


def test_side_files_alone_make_no_revision() -> None:
    side = zip_of(member("corrections.xlsx", "c", role="corrections"), sha="1")
    assert found_in([side]) == ([], [])
    assert order(side, zip_of(member("a.txt", "a"), sha="2")) == ["a.txt"]


def test_packing_the_members_anew_takes_no_evidence_away() -> None:
    """A second zip of the same bytes, its entry dates lost, must not change which posting is the newer one."""
    older = zip_of(member("a.txt", "b", date="2018-11-03"), sha="1")
    newer = zip_of(member("a.txt", "a", date="2019-02-01"), sha="2")
    for sha in "03":
        packed_anew = zip_of(member("a.txt", "a", date=None), sha=sha)
        for zips in permutations([older, newer, packed_anew]):
            assert [r.members[0].sha256[0] for r in found_in(list(zips))[0]] == ["b", "a"]
