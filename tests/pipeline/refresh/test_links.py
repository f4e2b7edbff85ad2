"""Links of CMS's page in all the forms it has used: each is followed, or reported. From the command line."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Said, built_once, manifest_of
from made_up import posting, record
from release_writer import release_zip
from site_server import PAGE, SiteServer, html_with_200, status

from hcpcs.paths import Outputs
from hcpcs.version import latest_version
from pipeline.refresh.refresh import refresh
from sources.site.client import FetchLimits
from sources.site.polling import Site

NAME = "{}-alpha-numeric-hcpcs-file.zip"
JULY = "/files/zip/july-2026-alpha-numeric-hcpcs-file.zip"


def zip_of(release_id: str) -> bytes:
    made = posting(release_id, record("A0001"), record("J1000"))
    return release_zip(made.members, comment=b"")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[SiteServer]:
    monkeypatch.setattr("sources.site.polling.load_known_releases", lambda: ())
    monkeypatch.setattr("sources.site.polling.Site", functools.partial(Site, limits=FetchLimits(pause=0)))
    with SiteServer() as server:
        server.put(JULY, zip_of("2026-07"))
        yield server


@pytest.fixture(scope="module")
def outputs_with_july(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def build(folder: Path) -> Path:
        (folder / "in" / "2026-07").mkdir(parents=True)
        (folder / "in" / "2026-07" / Path(JULY).name).write_bytes(zip_of("2026-07"))
        refresh(Outputs(folder / "outputs"), offered=folder / "in")
        return folder / "outputs"

    return built_once(tmp_path_factory, "july", build)


@pytest.fixture
def july(outputs_with_july: Path, tmp_path: Path) -> None:
    """July is loaded already."""
    shutil.copytree(outputs_with_july, tmp_path / "outputs", symlinks=True)


@pytest.fixture
def refreshed(site: SiteServer, hcpcs: Callable[..., Said], tmp_path: Path) -> Callable[..., Said]:
    def call(*options: object) -> Said:
        return hcpcs("refresh", "--site", site.url, "--outputs", tmp_path / "outputs", *options)

    return call


def releases(folder: Path) -> set[str]:
    outputs = Outputs(folder / "outputs")
    version = latest_version(outputs)
    assert version is not None
    content: dict[str, Any] = manifest_of(outputs.version(version))["content"]
    return {r["release_id"] for r in content["releases"]}


#: Names and texts of links to a release, each to one of its own.
LINKS = {
    "2026-10": ("/files/zip/october-2026-alpha-numeric-hcpcs-file.zip-0", "October 2026 File (ZIP)"),
    "2026-04": ("/files/zip/april-2026-alpha-numeric-hcpcs-file_0.zip", ""),
    "2026-01": ("/files/zip/JANUARY-2026-ALPHA-NUMERIC-HCPCS-FILE.ZIP", ""),
    "2025-10": ("/media/493046", "October 2025 Alpha-Numeric HCPCS File (ZIP)"),
    "2025-07": ("/media/2019", "July 2025 Alpha-Numeric HCPCS File (ZIP)"),
}


def test_a_link_whose_name_or_text_is_a_releases_is_followed(
    site: SiteServer, refreshed: Callable[..., Said], tmp_path: Path
) -> None:
    site.list_links([(JULY, "July 2026 file"), *LINKS.values()])
    for release_id, (href, _) in LINKS.items():
        site.put(href, zip_of(release_id))
    done = refreshed()
    assert done.status == 0, done.err
    assert releases(tmp_path) == {"2026-07", *LINKS}
    asked = len(site.requests)
    assert json.loads(refreshed("--json").out)["is_new"] is False
    assert len(site.requests) - asked <= 2


@pytest.mark.usefixtures("july")
def test_a_text_that_names_a_release_and_leads_to_a_page_is_reported_once_and_fails_nothing(
    site: SiteServer, refreshed: Callable[..., Said], tmp_path: Path
) -> None:
    site.list_links([(JULY, "July 2026 file"), ("/about/hcpcs", "October 2026 Alpha-Numeric HCPCS File")])
    site.always("/about/hcpcs", html_with_200("About"))
    done = refreshed()
    assert done.status == 0, done.err
    assert f"not fetched: {site.root}/about/hcpcs: " in done.out and "About" in done.out
    again = json.loads(refreshed("--json").out)
    assert list(again["fetched"]["unclear"]) == [f"{site.root}/about/hcpcs"]
    assert len(site.asked_for("/about/hcpcs")) == 1 and releases(tmp_path) == {"2026-07"}


@pytest.mark.usefixtures("july")
def test_a_release_behind_a_license_page_is_reported_and_never_followed(
    site: SiteServer, refreshed: Callable[..., Said]
) -> None:
    behind = "/license/ama?file=/files/zip/october-2026-alpha-numeric-hcpcs-file.zip"
    site.list_links([(JULY, "July 2026 file"), (behind, "October 2026 file")])
    done = refreshed()
    assert done.status == 0 and f"not fetched: {site.root}{behind}: behind a page" in done.out
    assert "--from FILE" in done.out
    assert f"{site.root}{behind}" in json.loads(refreshed("--json").out)["fetched"]["unclear"]
    assert not site.asked_for(behind)


def test_a_pager_is_followed_within_bounds(site: SiteServer, refreshed: Callable[..., Said], tmp_path: Path) -> None:
    october = "/files/zip/october-2026-alpha-numeric-hcpcs-file.zip"
    site.put(october, zip_of("2026-10"))
    site.list_links([("?page=1", "Next"), ("?page=1", "Last"), ("?sort=desc", "Sort")])
    next_part = f'<a href="{JULY}">July 2026</a><a href="{october}">October 2026</a><a href="?page=0">First</a>'
    site._put(f"{PAGE}?page=1", next_part.encode(), "text/html")
    site._put(f"{PAGE}?page=0", b"<html>again</html>", "text/html")
    assert refreshed().status == 0
    assert releases(tmp_path) == {"2026-07", "2026-10"}
    for number in range(40):
        site._put(f"{PAGE}?page={number}", f'<a href="?page={number + 1}">Next</a>'.encode(), "text/html")
    site.list_links([(JULY, "July 2026"), ("?page=1", "Next")])
    asked = len(site.requests)
    endless = refreshed()
    assert endless.status == 0 and "past the bound of 10 parts" in endless.out
    assert len(site.requests) - asked <= 11


def test_a_quarter_that_the_calendar_expects_and_the_page_lacks_is_reported(
    site: SiteServer, refreshed: Callable[..., Said]
) -> None:
    old = "/files/zip/july-2024-alpha-numeric-hcpcs-file.zip"
    site.put(old, zip_of("2024-07"))
    site.list_links([(old, "July 2024 file")])
    done = refreshed()
    assert done.status == 0 and "the page lists none after 2024-07" in done.out
    assert "2024-07" in json.loads(refreshed("--json").out)["fetched"]["overdue"]


# --- a page that refuses scripts -------------------------------------------------------------------------------------


def test_a_page_that_refuses_scripts_names_the_two_ways_by_hand(
    site: SiteServer, refreshed: Callable[..., Said]
) -> None:
    site.always(PAGE, status(403, body=b"<html><title>Access Denied</title></html>"))
    said = refreshed()
    assert said.status == 1 and "403" in said.err and "Traceback" not in said.err
    assert "`hcpcs refresh --page SAVED.html`" in said.err and "`hcpcs refresh --zip URL`" in said.err


@pytest.mark.parametrize(
    "encoding",
    [pytest.param("utf-8", marks=pytest.mark.slow), pytest.param("utf-8-sig", marks=pytest.mark.slow), "utf-16"],
)
def test_a_saved_page_is_read_instead_and_its_relative_links_lead_to_the_site(
    site: SiteServer, refreshed: Callable[..., Said], tmp_path: Path, encoding: str
) -> None:
    site.always(PAGE, status(403))
    saved = tmp_path / "saved.html"
    saved.write_bytes(f'<title>Quarterly Update</title><a href="{JULY}">July 2026</a>'.encode(encoding))
    done = refreshed("--page", saved)
    assert done.status == 0, done.err
    assert releases(tmp_path) == {"2026-07"} and not site.asked_for(PAGE)


def test_a_saved_page_without_releases_is_refused_by_name(refreshed: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "robot.html").write_text("<title>Are you human?</title>")
    said = refreshed("--page", tmp_path / "robot.html")
    assert said.status == 1 and "robot.html" in said.err and "Are you human?" in said.err


def test_zips_that_are_named_are_fetched_and_no_page_is_asked_for(
    site: SiteServer, refreshed: Callable[..., Said], tmp_path: Path
) -> None:
    site.put("/media/5", zip_of("2026-04"))
    site.put("/mirror/october-2026-alpha-numeric-hcpcs-file.zip", zip_of("2026-10"))
    named = refreshed(
        "--zip", site.root + JULY, "--zip", site.root + "/mirror/october-2026-alpha-numeric-hcpcs-file.zip"
    )
    assert named.status == 0, named.err
    assert releases(tmp_path) == {"2026-07", "2026-10"} and not site.asked_for(PAGE)
    # What has no name of a release is what its members' names say.
    assert refreshed("--zip", site.root + "/media/5").status == 0
    assert releases(tmp_path) == {"2026-04", "2026-07", "2026-10"}


def test_a_named_zip_that_cannot_be_had_is_one_error_with_its_url(
    site: SiteServer, refreshed: Callable[..., Said]
) -> None:
    said = refreshed("--zip", f"{site.root}/files/zip/october-2026-alpha-numeric-hcpcs-file.zip")
    assert said.status == 1 and "october-2026" in said.err and "404" in said.err and "Traceback" not in said.err


@pytest.mark.parametrize(
    "options", [("--page", "x.html"), ("--zip", "https://x.example/a.zip"), ("--from", "in"), ("--sample",)]
)
def test_ways_to_name_what_is_loaded_exclude_each_other(
    hcpcs: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.html").write_text("")
    said = hcpcs("refresh", "--offline", *options, "--outputs", tmp_path / "outputs")
    assert said.status == 2 and "exclude each other" in said.err
