"""The client against a real server: polite, bounded, and clear about what came instead of a zip."""

from __future__ import annotations

import hashlib
import resource
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from importlib.metadata import version
from pathlib import Path

import pytest
from site_server import (
    PAGE,
    SiteServer,
    cut_at,
    drip,
    endless,
    hang_before_the_first_byte,
    hang_in_the_middle,
    html_with_200,
    redirect,
    status,
    wrong_length,
)

from sources.errors import ZipRefused
from sources.site.client import FetchFailed, FetchLimits, SiteClient, StorageFull, _tls, post_json

#: Waits short enough for tests; everything else as it is in use.
QUICK = FetchLimits(
    connect_seconds=5, silent_seconds=5, file_seconds=20, total_seconds=60, first_wait=0.02, longest_wait=0.1, pause=0
)
#: For a server that is silent; a loaded machine must not look like one elsewhere.
IMPATIENT = replace(QUICK, silent_seconds=0.25)
ZIP = "/files/zip/april-2026-alpha-numeric-hcpcs-file.zip"
BODY = b"PK\x03\x04" + hashlib.sha256(b"x").digest() * 8000  # 256 kB


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture
def site() -> Iterator[SiteServer]:
    with SiteServer() as server:
        server.list_links([(ZIP, "April 2026")])
        server.put(ZIP, BODY)
        yield server


def download(site: SiteServer, folder: Path, limits: FetchLimits = QUICK, **kwargs):
    told: list[str] = []
    with SiteClient(site.url, limits, told.append) as client:
        try:
            return client.download(site.root + ZIP, folder / "a.zip", **kwargs)
        finally:
            assert not list(folder.glob(".*")), "nothing partial stays"
            site.told = told


def test_a_file_comes_whole_with_its_hash_and_validators(site, tmp_path):
    came = download(site, tmp_path)
    assert came.path.read_bytes() == BODY and came.bytes == len(BODY)
    assert came.sha256 == hashlib.sha256(BODY).hexdigest()
    assert came.validators.etag == site.files[ZIP].etag and came.validators.last_modified


def test_the_client_says_who_it_is_and_uses_one_connection(site, tmp_path):
    with SiteClient(site.url, QUICK) as client:
        client.get_page(site.url)
        client.download(site.root + ZIP, tmp_path / "a.zip")
        pool = client._client._transport._pool
        assert len(pool.connections) == 1
    assert {r.headers["User-Agent"] for r in site.requests} == {f"hcpcs/{version('hcpcs')}"}


def test_requests_are_a_pause_apart(site):
    with SiteClient(site.url, replace(QUICK, pause=0.2)) as client:
        started = time.monotonic()
        client.get_page(site.url)
        client.get_page(site.url)
        assert time.monotonic() - started >= 0.2


def test_what_has_not_changed_is_not_sent_again(site, tmp_path):
    with SiteClient(site.url, QUICK) as client:
        page = client.get_page(site.url)
        assert client.get_page(site.url, page.validators).text is None
        first = client.download(site.root + ZIP, tmp_path / "a.zip")
        again = client.download(site.root + ZIP, tmp_path / "b.zip", first.validators)
        assert again.path is None and not (tmp_path / "b.zip").exists()
        assert client.ask(site.root + ZIP, first.validators).is_same is True
        site.put(ZIP, BODY + b"more")
        assert client.ask(site.root + ZIP, first.validators).is_same is False
        assert client.download(site.root + ZIP, tmp_path / "b.zip", first.validators).bytes == len(BODY) + 4


def test_without_validators_the_server_says_only_the_size(site):
    site.put(ZIP, BODY, validators=False)
    with SiteClient(site.url, QUICK) as client:
        asked = client.ask(site.root + ZIP)
    assert asked.is_same is None and asked.bytes == len(BODY)


@pytest.mark.parametrize(
    "bad_days",
    [
        [status(500), status(500)],
        [status(503), cut_at(0.6)],
        [hang_before_the_first_byte],
        [hang_in_the_middle, status(502)],
        [cut_at(0.6), cut_at(0.3)],
        [wrong_length(+1000)],
    ],
    ids=["500 twice", "503 and a cut", "silence", "silence in the middle", "cuts", "wrong length"],
)
def test_what_passes_is_tried_again(site, tmp_path, bad_days):
    site.bad_days(ZIP, *bad_days)
    silent = hang_before_the_first_byte in bad_days or hang_in_the_middle in bad_days
    assert download(site, tmp_path, IMPATIENT if silent else QUICK).path.read_bytes() == BODY
    assert len(site.told) >= len(bad_days) and "attempt 2" in site.told[0], "each further attempt is told"


def test_a_cut_file_is_resumed_where_it_was_cut(site, tmp_path):
    site.bad_days(ZIP, cut_at(0.6))
    assert download(site, tmp_path).path.read_bytes() == BODY
    second = site.asked_for(ZIP)[1].headers
    assert second["Range"] == f"bytes={int(len(BODY) * 0.6)}-" and second["If-Range"] == site.files[ZIP].etag


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_that_changes_between_two_attempts_is_never_mixed(site, tmp_path, ranges):
    fresh = b"PK\x03\x04" + b"new" * 50_000

    def cut_then_post_again(handler, body):
        cut_at(0.6)(handler, body)
        site.put(ZIP, fresh, ranges=ranges)

    site.bad_days(ZIP, cut_then_post_again)
    assert download(site, tmp_path).path.read_bytes() == fresh


def test_without_validators_a_cut_file_starts_anew(site, tmp_path):
    site.put(ZIP, BODY, validators=False)
    site.bad_days(ZIP, wrong_length(+10))
    assert download(site, tmp_path).path.read_bytes() == BODY
    assert "Range" not in site.asked_for(ZIP)[1].headers


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honored(site, tmp_path, form):
    wait = "1" if form == "seconds" else format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    site.bad_days(ZIP, status(429, headers={"Retry-After": wait}))
    started = time.monotonic()
    assert download(site, tmp_path).path.read_bytes() == BODY
    assert 0.9 <= time.monotonic() - started < 10


def test_a_retry_after_past_the_deadline_ends_it_at_once(site, tmp_path):
    site.always(ZIP, status(429, headers={"Retry-After": "3600"}))
    started = time.monotonic()
    with pytest.raises(FetchFailed, match=r"429 Too Many Requests, after one attempt; the server asks .* 3,600 s"):
        download(site, tmp_path)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("always", "says", "attempts"),
    [
        (status(404, body=b"<title>Page Not Found</title>"), r"404 Not Found, an HTML page titled 'Page Not Found'", 1),
        (
            status(403, body=b"<html><title>Access Denied</title>Ref 1"),
            r"403 .*'Access Denied'.*begins with '<html>",
            1,
        ),
        (status(500), "500 Internal Server Error, after 3 attempts", 3),
        (hang_before_the_first_byte, "no byte arrived for 0.25 s, after 3 attempts", 3),
        (hang_in_the_middle, "no byte arrived for 0.25 s, after 3 attempts", 3),
        (wrong_length(+5), "the connection broke: .*after 3 attempts", 3),
        (endless, "still sending after 1,000,000 bytes, the bound", 1),
        (status(204), "HTTP 204", 1),
        (status(304), "HTTP 304", 1),
    ],
    ids=["404", "403", "500", "silence", "silence inside", "wrong length", "endless", "204", "304 unasked"],
)
def test_what_does_not_pass_ends_with_a_reason(site, tmp_path, always, says, attempts):
    site.always(ZIP, always)
    with pytest.raises(FetchFailed, match=says) as error:
        limits = IMPATIENT if says.startswith("no byte") else QUICK
        download(site, tmp_path, replace(limits, attempts=3, file_bytes=1_000_000))
    assert "april-2026" in str(error.value)
    assert len(site.asked_for(ZIP)) == attempts
    assert not list(tmp_path.iterdir())


def test_a_page_instead_of_a_zip_is_refused_with_title_and_first_bytes(site, tmp_path):
    site.always(ZIP, html_with_200("License for Use"))
    with pytest.raises(
        ZipRefused, match=r"HTML page titled 'License for Use', not a zip; it begins with '<!DOCTYPE html>"
    ):
        download(site, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("body", [b"", b"MZ\x00\x01 no zip", b"P"])
def test_other_bytes_are_refused(site, tmp_path, body):
    site.put(ZIP, body)
    with pytest.raises(ZipRefused, match="the file is empty" if not body else "not a zip; it begins with"):
        download(site, tmp_path)


def test_an_announced_size_past_the_bound_is_not_begun(site, tmp_path):
    with pytest.raises(FetchFailed, match="announced, past the bound of 1,000"):
        download(site, tmp_path, replace(QUICK, file_bytes=1000))


def test_a_server_that_drips_meets_the_deadline(site, tmp_path):
    site.always(ZIP, drip(0.05))
    started = time.monotonic()
    with pytest.raises(FetchFailed, match="not whole in time"):
        download(site, tmp_path, replace(QUICK, file_seconds=0.5))
    assert time.monotonic() - started < 10


def test_the_total_deadline_ends_everything(site, tmp_path):
    with SiteClient(site.url, replace(QUICK, total_seconds=0)) as client, pytest.raises(FetchFailed, match="are over"):
        client.download(site.root + ZIP, tmp_path / "a.zip")
    assert not site.requests


def test_redirects_within_the_site_are_followed(site, tmp_path):
    site.always("/old.zip", redirect(ZIP))
    with SiteClient(site.url, QUICK) as client:
        assert client.download(f"{site.root}/old.zip", tmp_path / "a.zip").bytes == len(BODY)


@pytest.mark.parametrize(
    ("to", "says"),
    [
        ("https://example.org/x.zip", "outside of http://127.0.0.1"),
        ("http://localhost/x.zip", "outside of"),
        ("http://127.0.0.1:1/x.zip", "outside of"),
        ("file:///etc/passwd", "outside of"),
        (ZIP, "in a circle"),
        ("http://[bad", "outside of"),
    ],
)
def test_redirects_elsewhere_or_in_a_circle_are_refused(site, tmp_path, to, says):
    site.always(ZIP, redirect(to))
    with pytest.raises(FetchFailed, match=says):
        download(site, tmp_path)
    assert len(site.requests) == 1


def test_many_redirects_are_too_many(site, tmp_path):
    for n in range(10):
        site.always(f"/{n}.zip", redirect(f"/{n + 1}.zip"))
    site.always(ZIP, redirect("/0.zip"))
    with pytest.raises(FetchFailed, match="more than 5 redirects"):
        download(site, tmp_path)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://www.cms.gov/files/zip/x.zip", True),
        ("http://www.cms.gov/files/zip/x.zip", True),
        ("https://downloads.cms.gov/x.zip", True),
        ("https://cms.gov/x.zip", True),
        ("https://notcms.gov/x.zip", False),
        ("https://cms.gov.example.org/x.zip", False),
        ("https://www.cms.gov:8443/x.zip", False),
        ("ftp://www.cms.gov/x.zip", False),
    ],
)
def test_a_site_is_its_domain_by_tls(url, allowed):
    with SiteClient("https://www.cms.gov/page") as client:
        assert client.is_allowed(url) is allowed
        if allowed:
            assert client._within_site(url).scheme == "https", "http becomes https"


def test_a_wrong_certificate_is_no_reason_to_try_again(site):
    # A server that does not speak TLS at all is the nearest thing without a certificate authority.
    site_by_tls = site.url.replace("http:", "https:")
    with SiteClient(site_by_tls, replace(QUICK, attempts=2)) as client, pytest.raises(FetchFailed, match="SSL"):
        client.get_page(site_by_tls)
    assert not site.requests


def test_certificates_are_verified():
    context = _tls()
    assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname


def test_a_proxy_comes_from_the_environment(site, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", site.root)
    site.always("http://site.invalid/page", status(200, body=b"<title>by proxy</title>"))
    with SiteClient("http://site.invalid/page", QUICK) as client:
        assert "by proxy" in (client.get_page("http://site.invalid/page").text or "")


def test_a_server_that_is_not_there_is_an_error(tmp_path):
    with SiteServer() as gone:
        url = gone.url
    with (
        SiteClient(url, replace(QUICK, attempts=2)) as client,
        pytest.raises(FetchFailed, match="the connection broke"),
    ):
        client.get_page(url)


def test_a_full_disk_is_said_and_leaves_nothing(site, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StorageFull, match="cannot be written: File too large; nothing was taken in"):
            download(site, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_a_page_has_a_bound(site):
    site.put_page("x" * 5000)
    with SiteClient(site.url, replace(QUICK, page_bytes=1000)) as client, pytest.raises(FetchFailed, match="the bound"):
        client.get_page(site.url)


@pytest.mark.parametrize("url", ["", "cms.gov", "file:///x", "https://"])
def test_a_site_that_is_no_address_is_refused(url):
    with pytest.raises(FetchFailed, match="not the URL of a web page"):
        SiteClient(url)


def test_a_webhook_that_refuses_is_an_error(site):
    site.always("/hook", status(500))
    with pytest.raises(FetchFailed, match="HTTP 500"):
        post_json(f"{site.root}/hook", {"text": "x"})
    assert PAGE not in {r.path for r in site.requests}
