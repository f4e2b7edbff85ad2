"""What is new on the site against the archive: found with two requests, fetched once, refused with a reason."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from conftest import REPOSITORY
from site_server import (
    SiteServer,
    cut_at,
    hang_before_the_first_byte,
    hang_in_the_middle,
    html_with_200,
    redirect,
    status,
)

from hcpcs.files import file_sha256
from pipeline.refresh.notify import Notice, notify
from sources.archive.archive import ArchivedZip
from sources.errors import CuratedFileError
from sources.release.calendar import expected_release, freshness, next_release
from sources.release.inspect import inspect_zip, open_archive
from sources.site.client import FetchFailed, FetchLimits, StorageFull
from sources.site.fetch_new import FetchReport, fetch_new
from sources.site.known_releases import KnownRelease, load_known_releases
from sources.site.page import PageUnclear
from sources.site.polling import Poller, RequestedFile, Site, poll, read_site_state, remember, site_rows

QUICK = FetchLimits(
    connect_seconds=5, silent_seconds=5, file_seconds=20, total_seconds=60, first_wait=0.02, longest_wait=0.1, pause=0
)
#: For a server that is silent; a loaded machine must not look like one elsewhere.
IMPATIENT = replace(QUICK, silent_seconds=0.25, attempts=2)
JULY = "/files/zip/july-2026-alpha-numeric-hcpcs-file.zip"
APRIL = "/files/zip/april-2026-alpha-numeric-hcpcs-file.zip"
NOC = "/files/zip/april-2026-hcpcs-noc-codes.zip"
LINKS = [(JULY, "July 2026 file"), (APRIL, "April 2026 file"), (NOC, "April 2026 NOC codes")]


def release_zip(member: str, text: str, *, comment: bytes = b"") -> bytes:
    """A small zip with a code file of one record."""
    line = f"{'A0021':5}00100" + "3" + f"{text:80}{text[:28]:28}"
    line = line.ljust(268) + "20200101" + "20200101" + " " * 8 + "N"
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.comment = comment
        archive.writestr(zipfile.ZipInfo(member), line.ljust(320) + "\r\n")
    return raw.getvalue()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture
def server() -> Iterator[SiteServer]:
    with SiteServer() as site:
        site.put(JULY, release_zip("HCPC2026_JUL_ANWEB.txt", "Sample: July"))
        site.put(APRIL, release_zip("HCPC2026_APR_ANWEB.txt", "Sample: April"))
        site.put(NOC, release_zip("NOC codes_APR2026.txt", "Sample: list"))
        site.list_links(LINKS)
        yield site


class Holder:
    """An archive that takes in what was fetched, as a refresh does."""

    def __init__(self, folder: Path, url: str, known: tuple[KnownRelease, ...] = ()) -> None:
        self.archive = open_archive(folder / "archive")
        self.state = folder / "site.json"
        self.site = Site(url, QUICK, known)
        self.folder = folder
        self.runs = 0

    def fetch(self, *, take_in: bool = True) -> FetchReport:
        self.runs += 1
        folder = self.folder / f"run-{self.runs}"
        folder.mkdir()
        report = fetch_new(self.site, self.archive.index(), folder, self.state)
        if take_in and report.fetched:
            self.take_in(folder)
        return report

    def take_in(self, folder: Path) -> None:
        zips = []
        for path, release in ((p, p.parent.name) for p in sorted(folder.rglob("*.zip"))):
            self.archive.keep(path, file_sha256(path))
            zips.append(inspect_zip(path, folder=release))
        self.archive.commit(self.archive.index().with_zips(zips))

    def poll(self):
        return poll(self.site, self.archive.index(), self.state)

    def held(self) -> dict[str, list[ArchivedZip]]:
        return self.archive.index().releases()


@pytest.fixture
def holder(server, tmp_path) -> Holder:
    return Holder(tmp_path, server.url)


def names(report: FetchReport) -> list[str]:
    return [f"{f.release_id}/{f.name}" for f in report.fetched]


def test_a_first_fetch_takes_releases_newest_first_and_side_files_after_theirs(server, holder):
    report = holder.fetch()
    assert [f.path.parent.name for f in report.fetched] == ["2026-07", "2026-04", "2026-04"]
    assert [f.url for f in report.fetched] == [server.root + path for path in (JULY, APRIL, NOC)]
    assert sorted(holder.held()) == ["2026-04", "2026-07"]
    assert report.url_of(report.fetched[0].path) == server.root + JULY
    assert json.loads(json.dumps(report.summary()))["fetched"][0]["release_id"] == "2026-07"
    assert "fetched 2026-04, 2026-07" in report.words()


def test_a_poll_with_nothing_new_takes_two_requests(server, holder):
    holder.fetch()
    server.requests.clear()
    started = datetime.now(UTC)
    found = holder.poll()
    assert not found.news and found.requests == len(server.requests) == 2
    assert [r.method for r in server.requests] == ["GET", "HEAD"]
    assert datetime.now(UTC) - started < timedelta(seconds=2)


def test_a_refresh_with_nothing_new_takes_two_requests_and_leaves_no_file(server, holder):
    holder.fetch()
    server.requests.clear()
    report = holder.fetch()
    assert not report.fetched and not report.refused and report.requests == len(server.requests) == 2
    assert list(report.unchanged.values()) == ["not changed"]
    assert not list((holder.folder / "run-2").rglob("*.zip"))
    assert report.words().startswith("nothing new on the site")


def test_a_release_that_appears_is_news(server, holder):
    holder.fetch()
    path = "/files/zip/october-2026-alpha-numeric-hcpcs-file.zip"
    server.put(path, release_zip("HCPC2026_OCT_ANWEB.txt", "Sample: October"))
    server.list_links([(path, "October 2026 file"), *LINKS])
    found = holder.poll()
    assert found.releases == ("2026-10",) and found.requests == 1
    assert names(holder.fetch()) == ["2026-10/october-2026-alpha-numeric-hcpcs-file.zip"]
    assert not holder.poll().news


def test_a_zip_posted_again_under_its_name_is_found_and_is_a_revision(server, holder):
    holder.fetch()
    server.put(JULY, release_zip("HCPC2026_JUL_ANWEB_v2.txt", "Sample: July, corrected"))
    polls = [holder.poll() for _ in range(4)]
    assert [n.link.release_id for n in polls[-1].news] == ["2026-07"]
    assert polls[-1].news[0].why == "posted again under the same name"
    report = holder.fetch()
    assert [f.is_revision for f in report.fetched] == [True] and "2026-07 again, changed" in report.words()
    assert len(holder.held()["2026-07"]) == 2
    assert not holder.poll().news


def test_the_newest_release_is_asked_after_oftener_and_no_file_is_forgotten(server, holder):
    holder.fetch()
    state = read_site_state(holder.state, holder.site)
    at = datetime.now(UTC) - timedelta(days=30)
    asked: list[str] = []
    for day in range(12):
        older = {
            a: replace(f, requested_at=(at + timedelta(days=-1 if f.text else 0)).isoformat())
            for a, f in state.files.items()
        }
        if day == 0:
            holder.state.unlink()
            remember(holder.state, replace(state, files=older), {})
        server.requests.clear()
        holder.poll()
        path = next(r.path for r in server.requests if r.method == "HEAD")
        asked.append(path)
        # A day passes: what was asked today lies a day back tomorrow.
        kept = read_site_state(holder.state, holder.site)
        moved = {
            a: replace(f, requested_at=(datetime.fromisoformat(f.requested_at) - timedelta(days=1)).isoformat())
            for a, f in kept.files.items()
        }
        holder.state.unlink()
        remember(holder.state, replace(kept, files=moved), {})
    assert set(asked) == {JULY, APRIL, NOC}
    assert asked.count(JULY) > asked.count(APRIL)


def test_the_same_members_in_another_zip_are_nothing_new(server, holder):
    holder.fetch()
    server.put(JULY, release_zip("HCPC2026_JUL_ANWEB.txt", "Sample: July", comment=b"packed again"))
    server.list_links([(JULY, "July 2026 file, updated"), *LINKS[1:]])
    assert [n.why for n in holder.poll().news] == ["its text on the page has changed"]
    report = holder.fetch()
    assert not report.fetched and report.unchanged == {server.root + JULY: "the same members again"}
    assert len(holder.held()["2026-07"]) == 1 and not holder.poll().news


def test_what_was_taken_in_from_a_folder_is_not_fetched_again(server, holder, tmp_path):
    folder = tmp_path / "given"
    for release, path in (("2026-07", JULY), ("2026-04", APRIL), ("2026-04", NOC)):
        target = folder / release / Path(path).name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(server.files[path].body)
    holder.take_in(folder)
    found = holder.poll()
    assert not found.news and found.requests == 2


def test_what_was_fetched_and_not_taken_in_comes_whole_again(server, holder):
    assert len(holder.fetch(take_in=False).fetched) == 3
    assert {n.why for n in holder.poll().news} == {"fetched before and not taken in"}
    assert len(holder.fetch().fetched) == 3, "no server's word for unchanged replaces the bytes"


@pytest.mark.parametrize(
    ("bad_day", "says", "outcome"),
    [
        (status(404), "404", "failed"),
        (status(403, body=b"<html><title>Access Denied</title>"), "Access Denied", "failed"),
        (html_with_200("Accept the license"), "an HTML page titled 'Accept the license'", "refused"),
        (redirect("https://example.org/x.zip"), "outside of", "failed"),
        (hang_before_the_first_byte, "no byte arrived", "failed"),
        (status(200, body=b"PK\x03\x04 cut"), "cut or damaged", "refused"),
    ],
    ids=["404", "403", "page", "redirect", "silence", "damaged"],
)
def test_one_bad_file_is_refused_and_the_others_come(server, holder, bad_day, says, outcome):
    silent = bad_day is hang_before_the_first_byte
    holder.site = replace(holder.site, limits=IMPATIENT if silent else replace(QUICK, attempts=2))
    server.always(JULY, bad_day)
    report = holder.fetch()
    assert [f.release_id for f in report.fetched] == ["2026-04", "2026-04"]
    assert list(report.refused) == [server.root + JULY] and says in report.refused[server.root + JULY]
    row = next(
        r for r in site_rows(read_site_state(holder.state, holder.site), holder.archive.index()) if JULY in r["url"]
    )
    assert row["state"] == outcome and says in row["why"]
    holder.site = replace(holder.site, limits=QUICK)
    server.put(JULY, release_zip("HCPC2026_JUL_ANWEB.txt", "Sample: July"))
    assert names(holder.fetch()) == ["2026-07/july-2026-alpha-numeric-hcpcs-file.zip"], "the next run gets it"


def test_a_side_file_does_not_come_without_its_release(server, holder):
    server.always(APRIL, status(404))
    report = holder.fetch()
    assert names(report) == ["2026-07/july-2026-alpha-numeric-hcpcs-file.zip"]
    assert "its release 2026-04 could not be had" in report.refused[server.root + NOC]


def test_a_side_file_of_a_release_that_is_not_there_waits(server, holder):
    server.list_links([LINKS[0], LINKS[2]])
    report = holder.fetch()
    assert names(report) == ["2026-07/july-2026-alpha-numeric-hcpcs-file.zip"]
    assert report.left == {server.root + NOC: "not fetched until 2026-04 is loaded"} and not report.refused


def test_an_unclear_link_is_reported_and_not_fetched(server, holder):
    path = "/files/zip/2024-alpha-numeric-hcpcs-file.zip"
    server.list_links([*LINKS, (path, "2024 file")])
    report = holder.fetch()
    assert "says 2024 but no month" in report.unclear[server.root + path]
    assert not server.asked_for(path) and "1 link unclear" in report.words()
    assert holder.poll().unclear == report.unclear


def test_what_is_held_stays_held_when_the_site_loses_it(server, holder):
    holder.fetch()
    for path in (JULY, APRIL, NOC):
        server.always(path, status(404))
    assert not holder.poll().news
    report = holder.fetch()
    assert not report.fetched and "404" in next(iter(report.refused.values()))
    assert not holder.poll().news


@pytest.mark.parametrize(
    ("bad_day", "error", "says"),
    [
        (status(404), FetchFailed, "404"),
        (status(500), FetchFailed, "500 .* after 2 attempts"),
        (hang_before_the_first_byte, FetchFailed, "no byte arrived"),
        (redirect("https://example.org/"), FetchFailed, "outside of"),
        (html_with_200("Are you a robot?"), PageUnclear, "'Are you a robot\\?'.*no link to a zip"),
    ],
    ids=["404", "500", "silence", "redirect", "captcha"],
)
def test_a_page_that_fails_changes_nothing(server, holder, bad_day, error, says):
    holder.fetch()
    before = (holder.state.read_bytes(), holder.held())
    silent = bad_day is hang_before_the_first_byte
    holder.site = replace(holder.site, limits=IMPATIENT if silent else replace(QUICK, attempts=2))
    server.always("/medicare/quarterly-update", bad_day)
    for action in (holder.poll, holder.fetch):
        with pytest.raises(error, match=says):
            action()
    assert (holder.state.read_bytes(), holder.held()) == before


def test_a_page_that_passes_after_two_bad_answers_is_read(server, holder):
    server.bad_days("/medicare/quarterly-update", status(500), cut_at(0.6))
    assert len(holder.fetch().fetched) == 3


def test_a_full_disk_ends_the_run(server, holder, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageFull, match="No space left on device"):
        fetch_new(holder.site, holder.archive.index(), holder.folder / "x", holder.state)
    monkeypatch.undo()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert not list((holder.folder / "x").rglob("*.*")) and len(holder.fetch().fetched) == 3


def test_a_run_that_is_killed_while_fetching_leaves_nothing_that_counts(server, holder):
    server.bad_days(JULY, hang_in_the_middle)
    code = (
        "import sys; from pathlib import Path; from sources.site.fetch_new import fetch_new;"
        "from sources.site.polling import Site; from sources.archive.archive import ArchiveIndex;"
        "url, folder, state = sys.argv[1:];"
        "fetch_new(Site(url, known=()), ArchiveIndex(), Path(folder), Path(state))"
    )
    killed = holder.folder / "killed"
    arguments = [sys.executable, "-c", code, server.url, str(killed), str(holder.state)]
    with subprocess.Popen(arguments, cwd=REPOSITORY) as child:
        deadline = time.monotonic() + 15
        while not list(killed.rglob(".*.part")) and time.monotonic() < deadline:
            time.sleep(0.02)
        child.kill()
    assert not list(killed.rglob("*[!t].zip")) and not holder.state.exists()
    report = holder.fetch()
    assert {f.url: f.path.read_bytes() for f in report.fetched} == {
        server.root + path: server.files[path].body for path in (JULY, APRIL, NOC)
    }


def test_two_files_of_one_name_do_not_overwrite_each_other(server, holder):
    other = "/archive/july-2026-alpha-numeric-hcpcs-file.zip"
    server.put(other, release_zip("HCPC2026_JUL_ANWEB_v2.txt", "Sample: other"))
    server.list_links([*LINKS, (other, "July 2026 file, older")])
    assert len({f.path for f in holder.fetch().fetched}) == 4


def test_a_state_that_cannot_be_read_is_as_none(server, holder):
    holder.fetch()
    holder.state.write_text('{"format": 1, "site"')
    assert not holder.poll().news, "what is held is known by the archive"


def test_two_processes_keep_what_the_other_learned(server, holder):
    holder.fetch()
    state = read_site_state(holder.state, holder.site)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    remember(holder.state, state, {"a": RequestedFile(now, "failed")})
    remember(holder.state, state, {"b": RequestedFile(now, "failed")})
    assert {"a", "b"} < set(read_site_state(holder.state, holder.site).files)


def known(server: SiteServer, release: str, member: str, sha256: str) -> KnownRelease:
    return KnownRelease(
        release, f"{server.root}/downloads/{release}.zip", "a test", False, {member: sha256} if sha256 else {}
    )


def test_known_older_releases_are_fetched_once_when_the_page_has_them_not(server, tmp_path):
    body = release_zip("12anweb.txt", "Sample: old")
    server.put("/downloads/2012-01.zip", body)
    gone, there = known(server, "2013-01", "", ""), known(server, "2012-01", "", "")
    elsewhere = KnownRelease("2011-01", "https://www.cms.gov/11anweb.zip", "a test", False)
    holder = Holder(tmp_path, server.url, (elsewhere, there, gone))
    report = holder.fetch()
    assert "2012-01" in holder.held() and not report.refused
    assert list(report.skipped) == [gone.url], "one that fails is reported; one elsewhere is not even asked"
    server.requests.clear()
    assert not holder.fetch().fetched
    assert not [r for r in server.requests if r.path.startswith("/downloads/2013")], "not asked again every day"


def test_a_known_hash_that_differs_is_an_error_with_both(server, tmp_path):
    server.put("/downloads/2012-01.zip", release_zip("12anweb.txt", "Sample: tampered"))
    holder = Holder(tmp_path, server.url, (known(server, "2012-01", "12anweb.txt", "0" * 64),))
    report = holder.fetch()
    why = next(iter(report.skipped.values()))
    assert "0" * 64 in why and why.count("SHA-256") == 1 and len(why) > 128 and "2012-01" not in holder.held()


def test_the_known_releases_have_sources_and_lie_on_the_site():
    entries = load_known_releases()
    assert entries and all(k.source and re.match(r"https://(www3?)\.cms\.gov/", k.url) for k in entries)
    named = {
        "2010-01",
        "2012-01",
        "2013-01",
        "2014-01",
        "2015-01",
        "2016-01",
        "2022-10",
        "2024-07",
        "2025-10",
        "2026-01",
    }
    assert {k.release_id for k in entries} >= named
    assert len({k.release_id for k in entries}) == len(entries)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[release]]\nrelease = "2012-01"', "checked, source, url missing"),
        ('[[release]]\nrelease="12"\nurl="https://a/b.zip"\nsource="x"\nchecked=false', "not of the form"),
        ('[[release]]\nrelease="2012-01"\nurl="http://a/b.zip"\nsource="x"\nchecked=false', "not the https URL"),
        ('[[release]]\nrelease="2012-01"\nurl="https://a/b.zip"\nsource=""\nchecked=false', "source in words"),
        ("[[release", "releases.toml"),
    ],
)
def test_a_bad_entry_of_known_releases_is_named(tmp_path, text, says):
    path = tmp_path / "releases.toml"
    path.write_text(text)
    with pytest.raises(CuratedFileError, match=says):
        load_known_releases(path)


def test_a_poller_asks_within_what_dagster_gives_it(server, tmp_path):
    poller = Poller(Site(server.url, QUICK, ()), tmp_path / "archive", tmp_path / "site.json")
    assert poller.poll().releases == ("2026-04", "2026-07")


@pytest.mark.parametrize(
    ("today", "newest", "words"),
    [
        ("2026-09-16", "2026-07", "current: 2026-07 is CMS's newest release"),
        (
            "2026-09-17",
            "2026-07",
            "due: CMS's release 2026-10 was posted about 2026-09-17 and is not loaded; run `hcpcs refresh`",
        ),
        (
            "2026-10-01",
            "2026-07",
            "due: CMS's release 2026-10 was posted about 2026-09-17 and is not loaded; run `hcpcs refresh`",
        ),
        (
            "2026-10-02",
            "2026-07",
            "OVERDUE: CMS's October 2026 release took effect 1 day ago and is not loaded; run `hcpcs refresh`",
        ),
        (
            "2026-11-23",
            "2026-07",
            "OVERDUE: CMS's October 2026 release took effect 53 days ago and is not loaded; run `hcpcs refresh`",
        ),
        (
            "2026-11-23",
            "2026-04",
            "OVERDUE: CMS's July 2026 release took effect 145 days ago and is not loaded; run `hcpcs refresh`",
        ),
        (
            "2026-11-23",
            "2019-01",
            "OVERDUE: CMS's January 2020 release took effect 2518 days ago and is not loaded; run `hcpcs refresh`",
        ),
        ("2026-12-20", "2027-01", "current: 2027-01 is CMS's newest release"),
        (
            "2026-12-20",
            "2026-10",
            "due: CMS's release 2027-01 was posted about 2026-12-18 and is not loaded; run `hcpcs refresh`",
        ),
        ("2026-11-23", None, "no release is loaded; CMS posted 2026-10"),
    ],
)
def test_freshness_follows_the_calendar(today, newest, words):
    assert freshness(newest, date.fromisoformat(today)).words == words


def test_the_calendar_is_yearly_to_2020_and_quarterly_since():
    assert [next_release(r) for r in ("2018-01", "2019-01", "2020-01", "2020-10")] == [
        "2019-01", "2020-01", "2020-04", "2021-01",
    ]  # fmt: skip
    assert expected_release(date(2026, 12, 31)) == "2027-01"


def test_a_notice_reaches_command_and_webhook(server, tmp_path):
    server.always("/hook", status(200))
    notice = Notice("published", "version 2026.07.1 was published", "2026.07.1", {"rows": 1})
    target = tmp_path / "told.json"
    problems = notify(notice, command=f"tee {target}", webhook=f"{server.root}/hook")
    assert problems == [] and json.loads(target.read_text()) == notice.payload()
    assert json.loads(server.requests[-1].body)["text"] == "version 2026.07.1 was published"


def test_a_notice_that_fails_is_words_and_no_error(server):
    server.always("/hook", status(500))
    told = notify(Notice("refused", "x"), command="false", webhook=f"{server.root}/hook")
    assert len(told) == 2 and "status 1" in told[0] and "HTTP 500" in told[1]
    assert "was not run" in notify(Notice("refused", "x"), command="/no/such/command")[0]
    assert notify(Notice("refused", "x")) == []


@pytest.mark.parametrize("url", ["http://a..b/", f"http://{'a' * 300}/", "https://\x00", "no URL", ""])
def test_a_webhook_that_is_no_url_is_words_and_no_error(url):
    told = notify(Notice("refused", "x"), webhook=url)
    assert [line.partition(":")[0] for line in told] == ["the webhook received no notice"] * bool(url)


def test_a_notice_that_quotes_bytes_of_no_text_is_sent(server, tmp_path):
    """An error names a file as the file system does, whose name may be no UTF-8."""
    server.always("/hook", status(200))
    kept, text = tmp_path / "kept.json", "caf\udce9.zip is damaged"
    assert notify(Notice("refused", text), command=f"tee {kept}", webhook=f"{server.root}/hook") == []
    assert json.loads(kept.read_bytes())["text"] == json.loads(server.requests[-1].body)["text"] == text


def test_a_command_for_notices_that_goes_on_is_ended(monkeypatch):
    monkeypatch.setattr("pipeline.refresh.notify._COMMAND_SECONDS", 0.1)
    (told,) = notify(Notice("refused", "x"), command="sleep 60")
    assert told == "the command sleep did not end within 0.1 s and was killed"


def test_a_command_for_notices_may_print_any_bytes_and_is_given_utf_8(tmp_path, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    kept = tmp_path / "kept.json"
    script = f"cat > {kept}; printf 'caf\\351' >&2; exit 3"
    (told,) = notify(Notice("refused", "\u00e9"), command=shlex.join(["sh", "-c", script]))
    assert told == "the command sh ended with status 3: caf\ufffd"
    assert json.loads(kept.read_bytes())["text"] == "\u00e9"
