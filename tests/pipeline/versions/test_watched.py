"""Rules of ``hcpcs watch``: a notice carries what changed for each list and nothing else of it; each has its feeds."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Said
from engines import engines_python
from made_up import posting, record
from site_server import SiteServer, status

from hcpcs.paths import Outputs

_PARSE = """
import feedparser, json, sys
feed = feedparser.parse(open(sys.argv[1], "rb").read())
titles = [[e.title, e.content[0].value] for e in feed.entries]
print(json.dumps({"bozo": bool(feed.bozo), "title": feed.feed.title, "titles": titles}))
"""


@pytest.fixture
def lists(tmp_path: Path) -> dict[str, Path]:
    """Lists by name: one whose codes change with the second release, one whose codes do not, and one of modifiers."""
    texts = {"drugs": "J0001 hc:j0002\nnonsense\nJ0009\n99213-25\n", "quiet": "A0001\nA0002\n", "two": "QA\nJ0002\n"}
    paths = {name: tmp_path / f"{name}.txt" for name in texts}
    for name, text in texts.items():
        paths[name].write_text(text)
    return paths


def test_a_new_release_is_reported_by_list(
    tmp_path: Path, lists: dict[str, Path], hcpcs: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("HCPCS_OUTPUTS", str(tmp_path / "outputs"))
    watched, notices = tmp_path / "outputs" / "watched", tmp_path / "notices"
    codes = ("J0001", "J0002", "J0003", "A0001", "A0002", "QA")
    posting("2024-01", *map(record, codes)).write(tmp_path / "first")
    assert hcpcs("refresh", "--from", tmp_path / "first", "--notify-command", f"tee {notices}").status == 0
    assert json.loads(notices.read_text())["watched"] == {}, "there is no list"

    added = hcpcs("watch", "add", "drugs", lists["drugs"])
    assert (added.status, added.out) == (0, f"drugs: 4 codes and modifiers are watched; feeds in {watched / 'drugs'}\n")
    named = dict(line.removeprefix("hcpcs: warning: ").split(": ", 1) for line in added.err.splitlines())
    assert list(named) == ["nonsense", "J0009", "99213-25"]
    assert "not watched" in named["nonsense"] and "no loaded release has it" in named["J0009"]
    assert "not CMS's to state" in named["99213-25"]
    for name in ("quiet", "two"):
        assert hcpcs("watch", "add", name, lists[name]).status == 0
    quiet = {path.name: path.read_bytes() for path in (watched / "quiet").iterdir()}
    assert json.loads(quiet["changes.json"])["items"] == []

    ended = {"termination_date": dt.date(2024, 12, 31), "action_code": "D"}
    second = [
        record("J0001", long_description="Sample: quite another thing, in other words", action_code="C"),
        record("J0002", **ended, action_effective_date=dt.date(2025, 1, 1)),
        record("J0003", **ended, action_effective_date=dt.date(2025, 1, 1)),
        *(record(code) for code in ("A0001", "QA")),
        record("A0002", long_description="SAMPLE: THE  THING THAT A0002 STANDS FOR"),
    ]
    posting("2025-01", *second).write(tmp_path / "second")
    with SiteServer() as site:
        site.always("/hook", status(200))
        hook = ("--notify-webhook", f"{site.root}/hook", "--notify-command", f"tee {notices}")
        done = hcpcs("refresh", "--from", tmp_path / "second", *hook)
        assert done.status == 0, done.err
        (posted,) = [json.loads(r.body) for r in site.requests if r.method == "POST"]
    assert json.loads(notices.read_text()) == posted
    seen = {name: {(r["code"], r["change"], r["release_id"]) for r in rows} for name, rows in posted["watched"].items()}
    assert {k: {c for c, change, _ in v if change in ("text", "discontinued")} for k, v in seen.items()} == {
        "drugs": {"J0001", "J0002"},
        "two": {"J0002"},
    }
    assert {c for v in seen.values() for c, _, _ in v} == {"J0001", "J0002"}
    (reworded,) = [r for r in posted["watched"]["drugs"] if r["change"] == "text"]
    assert reworded["new"] == "Sample: quite another thing, in other words"
    assert "watched list drugs, 2 changed: J0001 text; J0002" in posted["text"]
    assert "quiet" not in posted["text"] and "J0003" not in posted["text"]
    assert {path.name: path.read_bytes() for path in (watched / "quiet").iterdir()} == quiet

    # Nothing new: no list is reported again, and what is missing is made anew.
    before = (watched / "drugs" / "changes.json").read_bytes()
    (watched / "drugs" / "changes.json").unlink()
    notices.unlink()
    assert hcpcs("refresh", "--offline", "--notify-command", f"tee {notices}").status == 0
    assert not notices.exists() and (watched / "drugs" / "changes.json").read_bytes() == before

    pytest.importorskip("obstore")
    assert hcpcs("publish", tmp_path / "target").status == 0
    items = json.loads((tmp_path / "target" / "watched" / "drugs" / "changes.json").read_bytes())["items"]
    assert {item["title"].split(":")[0] for item in items} == {"J0001", "J0002"}

    feed = tmp_path / "target" / "watched" / "drugs" / "changes.atom.xml"
    command = [engines_python("feedparser"), "-c", _PARSE, str(feed)]
    read = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)
    assert read["bozo"] is False and read["title"].endswith("watched list drugs")
    assert read["titles"] == [[item["title"], item["content_text"]] for item in items]


def test_lists_are_listed_displayed_replaced_and_removed(
    own_sample: Outputs, lists: dict[str, Path], hcpcs: Callable[..., Said], tmp_path: Path
) -> None:
    where = ("--outputs", own_sample.folder)
    assert "no list is watched" in hcpcs("watch", "list", *where).out
    lists["drugs"].write_text("J0570\nQ2040\n")
    added = json.loads(hcpcs("watch", "add", "drugs", lists["drugs"], "--json", *where).out)
    assert (added["name"], added["codes"]) == ("drugs", ["J0570", "Q2040"])
    assert all(Path(feed).is_file() for feed in added["feeds"])
    listed: list[dict[str, Any]] = json.loads(hcpcs("watch", "list", "--json", *where).out)
    assert [one["codes"] for one in listed] == [["J0570", "Q2040"]]
    displayed = json.loads(hcpcs("watch", "show", "drugs", "--json", *where).out)
    assert [(r["code"], r["status"]) for r in displayed["rows"]] == [("J0570", "valid"), ("Q2040", "expired")]
    again = hcpcs("watch", "add", "drugs", lists["quiet"], *where)
    assert again.status == 1 and "--replace" in again.err
    assert hcpcs("watch", "add", "drugs", lists["two"], "--replace", *where).status == 0
    assert json.loads(hcpcs("watch", "list", "--json", *where).out)[0]["codes"] == ["QA", "J0002"]
    assert hcpcs("watch", "remove", "drugs", *where).out == "drugs is no longer watched\n"
    assert not (own_sample.watched / "drugs").exists()


def test_what_cannot_be_watched_is_one_line(
    own_sample: Outputs, lists: dict[str, Path], hcpcs: Callable[..., Said], tmp_path: Path
) -> None:
    where = ("--outputs", own_sample.folder)
    lists["drugs"].write_text("nonsense\n")
    for arguments, words in [
        (("add", "Two Words", lists["two"]), "'Two Words' is no name of a list"),
        (("add", "../x", lists["two"]), "'../x' is no name of a list"),
        (("add", "drugs", lists["drugs"]), "has no code to watch: nonsense"),
        (("add", "of-99213", lists["two"]), "feeds of of-99213 would state what may not be redistributed"),
        (("show", "drugs"), "no watched list is called 'drugs'; watched: none"),
        (("remove", ".."), "no watched list is called '..'"),
        (("add", "drugs", lists["two"], "--outputs", tmp_path / "none"), "has no version yet"),
    ]:
        done = hcpcs("watch", *arguments, *(where if "--outputs" not in arguments else ()))
        assert (done.status, done.out) == (1, "") and words in done.err and "Traceback" not in done.err, done
    assert not own_sample.watched.exists()


@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"name": "two", "codes": [1], "added_at": ""}', b"\xff"])
def test_a_damaged_list_is_one_line_and_hinders_no_other(
    own_sample: Outputs, lists: dict[str, Path], hcpcs: Callable[..., Said], damage: bytes
) -> None:
    where = ("--outputs", own_sample.folder)
    for name in ("quiet", "two"):
        assert hcpcs("watch", "add", name, lists[name], *where).status == 0
    path = own_sample.watched / "two" / "list.json"
    path.write_bytes(damage)
    (own_sample.watched / "quiet" / "changes.json").unlink()
    listed = hcpcs("watch", "list", *where)
    assert listed.status == 1 and f"{path} is damaged; `hcpcs watch remove two`" in listed.err
    done = hcpcs("refresh", "--offline", *where)
    assert done.status == 0 and f"{path} is damaged" in done.err
    assert (own_sample.watched / "quiet" / "changes.json").is_file()
    assert hcpcs("watch", "remove", "two", *where).status == 0
    assert hcpcs("watch", "list", *where).status == 0
