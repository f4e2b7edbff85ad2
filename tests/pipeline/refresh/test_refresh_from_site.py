"""`hcpcs refresh` against a site that is there: fetch, build, publish; or say what is wrong and change nothing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from conftest import manifest_of, published
from made_up import posting, record
from release_writer import release_zip
from site_server import SiteServer, html_with_200, status

from hcpcs.cli import main as command_line
from hcpcs.paths import Outputs
from pipeline.refresh.refresh import RefreshResult, refresh
from sources.site.client import FetchFailed, FetchLimits
from sources.site.polling import Site

QUICK = FetchLimits(connect_seconds=5, silent_seconds=5, total_seconds=60, first_wait=0.02, longest_wait=0.1, pause=0)
JULY = "/files/zip/july-2026-alpha-numeric-hcpcs-file.zip"
OCTOBER = "/files/zip/october-2026-alpha-numeric-hcpcs-file.zip"


def zip_of(folder: Path, release_id: str, *codes: str) -> bytes:
    """The bytes of a posting with these codes, without the sample's mark: no site is asked for the sample."""
    made = posting(release_id, *(record(c) for c in codes))
    path = folder / release_id / made.name
    path.parent.mkdir(parents=True)
    path.write_bytes(release_zip(made.members, date=made.date, comment=b""))
    return path.read_bytes()


@pytest.fixture
def server(tmp_path: Path):
    """A site with two releases."""
    with SiteServer() as site:
        site.list_links([(JULY, "July 2026 file"), (OCTOBER, "October 2026 file")])
        site.put(JULY, zip_of(tmp_path / "made", "2026-07", "A0001", "J1000"))
        site.put(OCTOBER, zip_of(tmp_path / "made", "2026-10", "A0001", "J1000", "J2000"))
        yield site


def refreshed(server: SiteServer, outputs: Outputs) -> RefreshResult:
    """Refresh from the site alone: no known older release is asked for."""
    return refresh(outputs, site=Site(server.url, QUICK, ()))


def content(outputs: Outputs, version: str) -> dict:
    """The manifest's part that decides."""
    return manifest_of(outputs.version(version))["content"]


def test_a_refresh_from_the_site_gives_what_the_same_zips_give_from_a_folder(server, tmp_path):
    from_site = refreshed(server, Outputs(tmp_path / "site"))
    from_folder = refresh(Outputs(tmp_path / "folder"), offered=tmp_path / "made")
    assert from_site.is_new and from_folder.is_new
    assert content(Outputs(tmp_path / "site"), from_site.published.version) == content(
        Outputs(tmp_path / "folder"), from_folder.published.version
    )


def test_with_nothing_new_it_asks_two_questions_and_publishes_nothing(server, tmp_path):
    outputs = Outputs(tmp_path / "outputs")
    refreshed(server, outputs)
    before, asked = published(outputs), len(server.requests)
    again = refreshed(server, outputs)
    assert not again.is_new
    assert len(server.requests) - asked <= 2
    assert published(outputs) == before


def test_a_run_leaves_a_summary_of_what_it_fetched_from_where(server, tmp_path):
    outputs = Outputs(tmp_path / "outputs")
    done = refreshed(server, outputs)
    (summary,) = [json.loads(p.read_text()) for p in outputs.runs.glob("*.json")]
    assert summary["version"] == done.published.version
    assert {f["url"] for f in summary["fetched"]["fetched"]} == {server.root + JULY, server.root + OCTOBER}
    index = json.loads((outputs.archive / "index.json").read_text())
    assert {o["from"] for z in index["zips"].values() for o in z["origins"]} == {
        server.root + JULY,
        server.root + OCTOBER,
    }


def test_a_page_that_fails_leaves_everything_as_it_was(server, tmp_path):
    outputs = Outputs(tmp_path / "outputs")
    refreshed(server, outputs)
    before = published(outputs)
    server.always("/medicare/quarterly-update", status(404))
    with pytest.raises(FetchFailed, match="404"):
        refreshed(server, outputs)
    assert published(outputs) == before


def test_a_page_in_a_zips_place_is_refused_and_the_other_releases_are_published(server, tmp_path, monkeypatch, capsys):
    outputs = tmp_path / "outputs"
    server.always(OCTOBER, html_with_200())
    monkeypatch.setattr("sources.site.polling.load_known_releases", lambda: ())
    monkeypatch.setattr("sys.argv", ["hcpcs", "refresh", "--site", server.url, "--outputs", str(outputs)])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    told = capsys.readouterr()
    assert ended.value.code == 1
    assert "published version 2026.07.1" in told.out
    assert "html" in told.err.lower() and OCTOBER in told.err
    assert content(Outputs(outputs), "2026.07.1")["missing"] == {}


def test_a_release_posted_again_is_another_revision(server, tmp_path):
    outputs = Outputs(tmp_path / "outputs")
    refreshed(server, outputs)
    server.put(OCTOBER, zip_of(tmp_path / "again", "2026-10", "A0001", "J1000", "J2000", "J3000"))
    done = refreshed(server, outputs)
    assert done.is_new and done.published.version == "2026.10.2"
    revisions = [r["revision"] for r in content(outputs, "2026.10.2")["releases"] if r["release_id"] == "2026-10"]
    assert revisions == [1, 2]


def test_what_was_fetched_is_kept_byte_for_byte(server, tmp_path):
    outputs = Outputs(tmp_path / "outputs")
    refreshed(server, outputs)
    kept = {p.stem: p.read_bytes() for p in (outputs.archive / "zips").glob("*.zip")}
    sent = [server.files[path].body for path in (JULY, OCTOBER)]
    assert kept == {hashlib.sha256(body).hexdigest(): body for body in sent}
