"""Rules of the feeds: readers of others take them, they say what the tables say, and lie beside `latest` everywhere."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import Said, Version, content_of
from engines import engines_python

from hcpcs.paths import Outputs
from pipeline.license_gate.check import inspect_version
from pipeline.versions.feeds import write_feeds
from sources.curated.license_policy import load_license_policy

FEEDS = ("changes.json", "changes.atom.xml")
_PARSE = """
import feedparser, json, sys
feed = feedparser.parse(open(sys.argv[1], "rb").read())
entries = [
    {"id": e.id, "title": e.title, "text": e.content[0].value, "day": list(e.published_parsed[:3])}
    for e in feed.entries
]
print(json.dumps({"bozo": bool(feed.bozo), "version": feed.version, "title": feed.feed.title, "entries": entries}))
"""


def items(folder: Path) -> list[dict[str, Any]]:
    feed: dict[str, Any] = json.loads((folder / "changes.json").read_bytes())
    return list(feed["items"])


def test_the_json_feed_follows_the_rules_of_version_1_1(sample: Version) -> None:
    feed = json.loads((sample.outputs.folder / "changes.json").read_bytes())
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    assert isinstance(feed["title"], str) and feed["title"]
    assert any(notice in feed["description"] for notice in sample.open("licenses")["notice"])
    assert feed["home_page_url"].startswith("https://")
    assert all(set(author) <= {"name", "url", "avatar"} and author for author in feed["authors"])
    allowed = {"id", "url", "title", "content_text", "content_html", "summary", "date_published", "tags"}
    for item in feed["items"]:
        assert set(item) <= allowed
        assert isinstance(item["id"], str) and item["id"]
        assert item["content_text"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", item["date_published"])
        assert all(isinstance(tag, str) for tag in item["tags"])
    ids = [item["id"] for item in feed["items"]]
    assert len(ids) == len(set(ids)) > 0


def test_feedparser_reads_the_atom_feed_which_says_the_same(sample: Version) -> None:
    command = [engines_python("feedparser"), "-c", _PARSE, str(sample.outputs.folder / "changes.atom.xml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert (read["bozo"], read["version"]) == (False, "atom10")
    assert read["entries"] == [
        {
            "id": item["id"],
            "title": item["title"],
            "text": item["content_text"],
            "day": [int(part) for part in item["date_published"][:10].split("-")],
        }
        for item in items(sample.outputs.folder)
    ]


def test_every_release_and_every_code_that_changed_in_the_newest_has_an_entry(sample: Version) -> None:
    found = items(sample.outputs.folder)
    releases = sample.open("hcpcs_releases")
    told = [item for item in found if item["tags"] == ["release"]]
    assert len(told) == releases.height
    newest = releases["release_id"].max()
    changes = sample.open("hcpcs_changes").filter(
        pl.col("release_id") == newest,
        pl.col("redistribution") == "open",
        pl.col("change") != "claimed_not_seen",
    )
    codes = {item["title"].split(":")[0] for item in found if item["title"].endswith(f"({newest})")}
    assert codes == set(changes["code"]) != set()
    assert f"{newest}" in told[0]["title"] and f"{changes.n_unique(['kind', 'code'])} codes" in told[0]["title"]


def test_no_code_of_another_owner_is_named(sample: Version) -> None:
    of_others = sample.open("hcpcs_changes").filter(pl.col("redistribution") == "withheld")["code"]
    named = {item["title"].split(":")[0] for item in items(sample.outputs.folder)}
    assert named.isdisjoint(of_others.to_list())


def test_equal_tables_give_equal_feeds_and_the_gate_reads_them(sample: Version, tmp_path: Path) -> None:
    (tmp_path / "open").symlink_to(sample.folder / "open")
    entries = write_feeds(tmp_path, content_of(sample.content))
    for name in FEEDS:
        assert (tmp_path / name).read_bytes() == (sample.folder / name).read_bytes()
        assert sample.id not in (tmp_path / name).read_text("utf-8")
    (tmp_path / "open").unlink()
    assert inspect_version(tmp_path, load_license_policy(), entries).passed
    for name in FEEDS:
        (tmp_path / name).write_text((tmp_path / name).read_text("utf-8").replace('"release"', '"99213"', 1), "utf-8")
    leaks = inspect_version(tmp_path, load_license_policy(), entries).leaks
    assert {leak.table for leak in leaks} == set(FEEDS)


def test_they_lie_beside_latest_after_a_refresh_and_are_mended(own_sample: Outputs, hcpcs: Callable[..., Said]) -> None:
    before = {name: (own_sample.latest_link / name).read_bytes() for name in FEEDS}
    (own_sample.folder / FEEDS[0]).write_text("damaged")
    (own_sample.folder / FEEDS[1]).unlink()
    said = hcpcs("refresh", "--offline", "--outputs", own_sample.folder)
    assert said.status == 0, said.err
    assert {name: (own_sample.folder / name).read_bytes() for name in FEEDS} == before


def test_they_lie_beside_latest_where_a_version_is_published(
    sample: Version, tmp_path: Path, hcpcs: Callable[..., Said]
) -> None:
    pytest.importorskip("obstore")
    for _ in range(2):
        said = hcpcs("publish", tmp_path / "target", "--outputs", sample.outputs.folder)
        assert said.status == 0, said.err
        for name in FEEDS:
            assert (tmp_path / "target" / name).read_bytes() == (sample.folder / name).read_bytes()
        (tmp_path / "target" / FEEDS[0]).write_text("damaged")
