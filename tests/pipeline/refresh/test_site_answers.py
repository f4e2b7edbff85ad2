"""What a site may answer: each odd answer ends within the bounds, in one line, and what is remembered is unharmed."""

from __future__ import annotations

import functools
import gzip
import shutil
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Said, published
from made_up import posting, record
from release_writer import release_zip
from site_server import PAGE, Behavior, SiteServer, status

from hcpcs.paths import Outputs
from pipeline.refresh.refresh import refresh
from sources.site.client import FetchLimits
from sources.site.polling import Site

SECONDS = {"connect_seconds": 2, "silent_seconds": 2, "answer_seconds": 1, "file_seconds": 4, "total_seconds": 20}
QUICK = FetchLimits(**SECONDS, attempts=2, first_wait=0.02, longest_wait=0.1, pause=0)
JULY = "/files/zip/july-2026-alpha-numeric-hcpcs-file.zip"
GOOD = f'<title>Update</title><a href="{JULY}">July 2026 file</a>'.encode()


@pytest.fixture(scope="module")
def server() -> Iterator[SiteServer]:
    made = posting("2026-07", record("A0001"), record("J1000"))
    with SiteServer() as one:
        one.put(JULY, release_zip(made.members, comment=b""))
        yield one


@pytest.fixture(scope="module")
def fetched(server: SiteServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs with the site's one release, made once; read only."""
    server.put_page(GOOD.decode())
    folder = tmp_path_factory.mktemp("fetched") / "outputs"
    refresh(Outputs(folder), site=Site(server.url, QUICK, ()))
    return folder


@pytest.fixture
def site(server: SiteServer, monkeypatch: pytest.MonkeyPatch) -> SiteServer:
    monkeypatch.setattr("sources.site.polling.Site", functools.partial(Site, limits=QUICK, known=()))
    server.put_page(GOOD.decode())
    return server


@pytest.fixture
def refreshed(site: SiteServer, fetched: Path, hcpcs: Callable[..., Said], tmp_path: Path) -> Callable[..., Said]:
    shutil.copytree(fetched, tmp_path / "outputs", symlinks=True)
    return lambda: hcpcs("refresh", "--site", site.url, "--outputs", tmp_path / "outputs")


def answer(headers: dict[str, str], body: bytes = GOOD) -> Behavior:
    return status(200, body=body, headers=headers)


def twice_packed(size: int) -> bytes:
    """A few thousand bytes that unpack to ``size`` bytes."""
    return gzip.compress(gzip.compress(b" " * size))


def endless_headers(handler, _: bytes) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not handler.site.closing.wait(0.001):
        handler.wfile.write(b"X-More: " + b"x" * 50 + b"\r\n")
        handler.wfile.flush()


def dripping_headers(handler, _: bytes) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not handler.site.closing.wait(0.05):
        handler.wfile.write(b"x")
        handler.wfile.flush()


def endless_interim_answers(handler, _: bytes) -> None:
    while not handler.site.closing.wait(0.0005):
        handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        handler.wfile.flush()


REFUSED = {
    "a date without a zone": (status(503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 -0000"}), "HTTP 503"),
    "a number that is none": (status(503, headers={"Retry-After": "\u00b2"}), "HTTP 503"),
    "a number without end": (status(429, headers={"Retry-After": "9" * 3000}), "HTTP 429"),
    "damaged gzip": (answer({"Content-Encoding": "gzip"}, gzip.compress(GOOD)[:-12] + b"x" * 12), "the gzip "),
    "cut gzip": (answer({"Content-Encoding": "gzip"}, gzip.compress(GOOD)[:-12]), "gzip ends in the middle"),
    "no gzip": (answer({"Content-Encoding": "gzip"}), "gzip is damaged"),
    "gzip within gzip": (answer({"Content-Encoding": "gzip, gzip"}, twice_packed(50_000_000)), "'gzip, gzip'"),
    "much gzip": (answer({"Content-Encoding": "gzip"}, gzip.compress(b" " * 200_000_000)), "the bound"),
    "another coding": (answer({"Content-Encoding": "br"}), "'br'"),
    "endless headers": (endless_headers, "quarterly-update"),
    "dripping headers": (dripping_headers, "no whole answer"),
    "endless interim answers": (endless_interim_answers, "no whole answer"),
    "deep tags": (answer({}, b"<div>" * 50_000 + GOOD), "nested"),
    "deep tags of many names": (answer({}, b"<div></p>" * 50_000 + GOOD), "nested"),
    "deep tags as large as a page may be": (answer({}, b"<div>" * 900_000 + GOOD), "nested"),
    "deep tags of many names as large": (answer({}, b"<div></p>" * 400_000 + GOOD), "nested"),
    "a redirect to no address": (status(302, headers={"Location": "http://[bad"}), "quarterly-update"),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if "as large" in n else ()) for n in REFUSED])
def test_an_odd_answer_is_one_line_within_the_bounds_and_nothing_is_harmed(
    name: str, site: SiteServer, refreshed: Callable[..., Said], tmp_path: Path
) -> None:
    behavior, says = REFUSED[name]
    outputs = Outputs(tmp_path / "outputs")
    before = published(outputs), outputs.site_state.read_bytes()
    site.always(PAGE, behavior)
    started = time.monotonic()
    tracemalloc.start()
    said = refreshed()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert said.status == 1 and says in said.err, said.err
    assert "Traceback" not in said.err and len(said.err.strip().splitlines()) == 1
    assert time.monotonic() - started < 15 and most < 60_000_000
    assert (published(outputs), outputs.site_state.read_bytes()) == before
    site.files[PAGE].always = None
    again = refreshed()
    assert again.status == 0, again.err


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/html; charset=x-unknown"},
        {"Content-Type": "text/html; charset=zlib"},
        {"Content-Type": "text/html; charset="},
        {"ETag": '"\u00e9\u00ff"'},
        {"Last-Modified": "\u00e9"},
        {"ETag": '"' + "x" * 5000 + '"'},
    ],
    ids=str,
)
def test_an_odd_header_is_no_reason_to_fail_and_poisons_nothing(
    headers: dict[str, str], site: SiteServer, refreshed: Callable[..., Said]
) -> None:
    site.always(PAGE, answer(headers))
    for _ in range(2):
        said = refreshed()
        assert said.status == 0, said.err


def test_kept_state_with_a_header_that_cannot_be_sent_is_no_reason_to_fail(
    site: SiteServer, refreshed: Callable[..., Said], tmp_path: Path
) -> None:
    state = tmp_path / "outputs" / "site.json"
    state.write_text(state.read_text("utf-8").replace('"etag": "\\"', '"etag": "\\"\u00e9'), "utf-8")
    assert "\u00e9" in state.read_text("utf-8")
    assert refreshed().status == 0
