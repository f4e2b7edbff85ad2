"""Asking a web site for pages and files, politely and within bounds. It knows nothing of releases or of the archive.

One connection, one request at a time, a pause between them; every wait, size and number of attempts has a bound.
"""

from __future__ import annotations

import codecs
import contextlib
import email.utils
import ipaddress
import json
import os
import re
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx2
import tenacity

from hcpcs.errors import ProgramFault, present
from hcpcs.files import file_sha256
from sources.errors import SourceError, ZipRefused

Progress = Callable[[str], None]
_Result = TypeVar("_Result")

#: Answers after which the same question may be put again.
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
_SECONDS_BETWEEN_PROGRESS = 0.5
#: Bytes that are unpacked at once.
_MOST_AT_ONCE = 1024**2


class FetchFailed(SourceError):
    """A page or file could not be fetched; the message says what came instead, and after how many attempts.

    ``status`` is the HTTP status, where that is the reason.
    """

    status: int | None = None


class StorageFull(SourceError):
    """What was fetched could not be written to the disk."""


class _TryAgain(Exception):
    """An attempt failed in a way that may pass; ``wait`` is what the server asks for, in seconds."""

    def __init__(self, text: str, wait: float | None = None) -> None:
        self.wait = wait
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Bounds in seconds, bytes and times. CMS's largest zip is under 3 MB, its page under 200 kB."""

    connect_seconds: float = 10
    #: Without a byte.
    silent_seconds: float = 30
    #: For one page or file, with all its attempts.
    file_seconds: float = 600
    #: For everything one client is requested.
    total_seconds: float = 3600
    page_bytes: int = 5 * 1024**2
    file_bytes: int = 100 * 1024**2
    attempts: int = 4
    first_wait: float = 2
    longest_wait: float = 60
    pause: float = 1
    redirects: int = 5
    #: Until the headers of an answer are whole: a server may send interim answers without end.
    answer_seconds: float = 60
    #: Parts of a page with a pager.
    pages: int = 10
    #: Tags of a page that are open at once: a parser takes time that grows with their square.
    open_tags: int = 5000


@dataclass(frozen=True, slots=True)
class Validators:
    """What a server said by which it can tell whether its answer has changed since."""

    etag: str | None = None
    last_modified: str | None = None

    @classmethod
    def of(cls, response: httpx2.Response) -> Validators:
        """Those of an answer."""
        return cls(_sendable(response.headers.get("etag")), _sendable(response.headers.get("last-modified")))

    def conditions(self) -> dict[str, str]:
        """Headers that ask for an answer only if it has changed."""
        headers = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in headers.items() if value and _sendable(value)}

    def range_condition(self) -> str | None:
        """The one that may guard a range: a weak ETag does not say that bytes are the same."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified


@dataclass(frozen=True, slots=True)
class Page:
    """A page's text, None where it has not changed; ``url`` is where redirects led."""

    text: str | None
    url: str
    validators: Validators


@dataclass(frozen=True, slots=True)
class FetchResult:
    """A file that was fetched to ``path``; None, with no sha256, where it has not changed."""

    path: Path | None
    sha256: str | None
    bytes: int
    validators: Validators


@dataclass(frozen=True, slots=True)
class Asked:
    """What a server says of a file without sending it; ``is_same`` is None where it does not say."""

    is_same: bool | None
    bytes: int | None
    validators: Validators


class SiteClient:
    """A client of one site: it follows redirects within the site's domain and refuses every other host.

    TLS is verified; proxies come from the environment, as `httpx2` reads it.
    """

    def __init__(self, site: str, limits: FetchLimits | None = None, progress: Progress = lambda text: None) -> None:
        self._site = httpx2.URL(site)
        if self._site.scheme not in ("http", "https") or not self._site.host:
            raise FetchFailed(f"{site!r} is not the URL of a web page; expected https://…")
        self.limits = limits or FetchLimits()
        self.requests = 0
        self._report = progress
        self._end = time.monotonic() + self.limits.total_seconds
        self._last_answer: float | None = None
        self._client = self._connections()

    def _connections(self) -> httpx2.Client:
        return httpx2.Client(
            headers={"User-Agent": f"hcpcs/{version('hcpcs')}", "Accept-Encoding": "identity"},
            limits=httpx2.Limits(max_connections=1, max_keepalive_connections=1),
            follow_redirects=False,
            verify=_tls(),
        )

    def __enter__(self) -> SiteClient:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._client.close()

    def is_allowed(self, url: str) -> bool:
        """Whether a URL lies within the site's domain."""
        try:
            self._within_site(url)
        except FetchFailed:
            return False
        return True

    def get_page(self, url: str, known: Validators = Validators()) -> Page:
        """Fetch a page, unless it is still the one with the validators ``known``; raises ``FetchFailed``."""

        def attempt(end: float) -> Page:
            with self._answer("GET", url, known.conditions(), end) as response:
                if response.status_code == 304 and known != Validators():
                    return Page(None, str(response.url), known)
                self._check_status(url, response)
                body = b"".join(self._chunks(url, response, end, self.limits.page_bytes, 0))
                return Page(page_text(body, response.charset_encoding), str(response.url), Validators.of(response))

        return self._with_attempts(url, attempt)

    def ask(self, url: str, known: Validators = Validators()) -> Asked:
        """Ask by ``HEAD`` whether a file is still the one with the validators ``known``; raises ``FetchFailed``."""

        def attempt(end: float) -> Asked:
            with self._answer("HEAD", url, known.conditions(), end) as response:
                if response.status_code == 304:
                    return Asked(True, None, known)
                if response.status_code in (405, 501):
                    return Asked(None, None, known)
                self._check_status(url, response)
                now = Validators.of(response)
                return Asked(_same(known, now), _length(response), now)

        return self._with_attempts(url, attempt)

    def download(self, url: str, target: Path, known: Validators = Validators()) -> FetchResult:
        """Fetch a zip to ``target``, which appears whole or not at all; nothing if it is still the one ``known``.

        Raises ``FetchFailed``; ``ZipRefused`` as soon as the first bytes are no zip's; ``StorageFull``.
        """
        part = target.with_name(f".{target.name}.part")
        partial = Validators()

        def attempt(end: float) -> FetchResult:
            nonlocal partial
            guard = partial.range_condition()
            have = part.stat().st_size if guard and part.exists() else 0
            headers = {"Range": f"bytes={have}-", "If-Range": guard or ""} if have else known.conditions()
            with self._answer("GET", url, headers, end) as response:
                if response.status_code == 304 and not have and known != Validators():
                    return FetchResult(None, None, 0, known)
                if response.status_code == 416 and have:
                    part.unlink()
                    raise _TryAgain("the server has no such range any more")
                self._check_status(url, response)
                if response.status_code == 206 and not _continues(response, have):
                    part.unlink(missing_ok=True)
                    raise _TryAgain("the server sent a range other than the requested one")
                have = have if response.status_code == 206 else 0
                if not have:
                    partial = Validators() if "content-encoding" in response.headers else Validators.of(response)
                self._write(url, response, end, part, have)
            with _storage(part):
                part.replace(target)
            return FetchResult(target, file_sha256(target), target.stat().st_size, Validators.of(response))

        try:
            return self._with_attempts(url, attempt)
        finally:
            part.unlink(missing_ok=True)

    def _write(self, url: str, response: httpx2.Response, end: float, part: Path, have: int) -> None:
        name = _name(url)
        declared = _length(response)
        total = have + declared if declared is not None else None
        if total is not None and total > self.limits.file_bytes:
            raise FetchFailed(f"{name}: {total:,} bytes announced, past the bound of {self.limits.file_bytes:,}")
        reported = time.monotonic()
        with _storage(part), part.open("ab" if have else "wb") as file:
            for chunk in self._chunks(url, response, end, self.limits.file_bytes, have):
                if not have and not chunk.startswith(_ZIP_STARTS):
                    raise ZipRefused(f"{name}: {described(chunk)}")
                file.write(chunk)
                file.flush()
                have += len(chunk)
                if time.monotonic() - reported > _SECONDS_BETWEEN_PROGRESS:
                    reported = time.monotonic()
                    self._report(f"fetching {name}: {have:,} of {total or '?':,} bytes")
            if not have:
                raise ZipRefused(f"{name}: the file is empty")
            os.fsync(file.fileno())

    def _chunks(self, url: str, response: httpx2.Response, end: float, most: int, have: int) -> Iterator[bytes]:
        """The body's chunks, the first of at least a zip's magic where there are as many bytes."""
        loaded = b""
        for chunk in _decoded(url, response):
            have += len(chunk)
            if have > most:
                raise FetchFailed(f"{_name(url)}: still sending after {most:,} bytes, the bound")
            if time.monotonic() > end:
                raise FetchFailed(f"{_name(url)}: not whole in time, {have:,} bytes arrived")
            loaded += chunk
            if len(loaded) >= 4:
                yield loaded
                loaded = b""
        if loaded:
            yield loaded

    def _with_attempts(self, url: str, attempt: Callable[[float], _Result]) -> _Result:
        limits = self.limits
        end = min(time.monotonic() + limits.file_seconds, self._end)
        name = _name(url)
        backoff = tenacity.wait_exponential_jitter(
            multiplier=limits.first_wait, max=limits.longest_wait, jitter=limits.first_wait
        )

        def wait(state: tenacity.RetryCallState) -> float:
            requested = _failure(state).wait or 0
            return max(requested, backoff(state))

        def progress(state: tenacity.RetryCallState) -> None:
            self._report(
                f"{name}: {_failure(state)}; attempt {state.attempt_number + 1} in {state.upcoming_sleep:.0f} s"
            )

        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_TryAgain),
            stop=lambda state: state.attempt_number >= limits.attempts or time.monotonic() + state.upcoming_sleep > end,
            wait=wait,
            before_sleep=progress,
        )
        if time.monotonic() > end:
            raise FetchFailed(f"{name}: not requested, the {limits.total_seconds:,.0f} s for everything are over")
        try:
            return attempts(attempt, end)
        except tenacity.RetryError as error:
            failure = error.last_attempt.exception()
            number = error.last_attempt.attempt_number
            requested = failure.wait if isinstance(failure, _TryAgain) else None
            later = f"; the server asks to come back in {requested:,.0f} s" if requested else ""
            times = f"after {number} attempts" if number > 1 else "after one attempt"
            raise FetchFailed(f"{name}: {failure}, {times}{later}") from None

    @contextlib.contextmanager
    def _answer(self, method: str, url: str, headers: Mapping[str, str], end: float) -> Iterator[httpx2.Response]:
        """Send a request, follow redirects within the site, and turn what breaks on the way into ``_TryAgain``."""
        current = self._within_site(url)
        visited: list[httpx2.URL] = []
        if self._last_answer is not None:
            time.sleep(max(0.0, self._last_answer + self.limits.pause - time.monotonic()))
        try:
            while True:
                if current in visited:
                    raise FetchFailed(f"{_name(url)}: redirects go in a circle, back to {current}")
                visited.append(current)
                if len(visited) > self.limits.redirects + 1:
                    raise FetchFailed(f"{_name(url)}: more than {self.limits.redirects} redirects, last to {current}")
                silent = max(0.001, min(self.limits.silent_seconds, end - time.monotonic()))
                timeout = httpx2.Timeout(silent, connect=min(self.limits.connect_seconds, silent))
                self.requests += 1
                request = self._client.build_request(method, current, headers=dict(headers), timeout=timeout)
                response = self._send(url, request, end)
                try:
                    if not response.has_redirect_location:
                        yield response
                        return
                    target = _joined(url, current, response.headers["location"])
                finally:
                    response.close()
                current = self._within_site(target, origin_of=url)
        except httpx2.TimeoutException:
            raise _TryAgain(f"no byte arrived for {silent:g} s") from None
        except (httpx2.InvalidURL, UnicodeError) as error:  # the latter from a host that cannot be a domain
            raise FetchFailed(f"{_name(url)}: {error}") from None
        except httpx2.TransportError as error:
            if _is_certificate_error(error):
                raise FetchFailed(
                    f"{_name(url)}: the certificate of {current.host} is not to be trusted: {error}"
                ) from None
            raise _TryAgain(f"the connection broke: {error or type(error).__name__}") from None
        finally:
            self._last_answer = time.monotonic()

    def _send(self, url: str, request: httpx2.Request, end: float) -> httpx2.Response:
        """Send a request; the connection is closed under an answer whose headers do not end in time."""
        late = threading.Event()
        used = self._client

        def abandon() -> None:
            late.set()
            used.close()

        seconds = max(0.001, min(self.limits.answer_seconds, end - time.monotonic()))
        timer = threading.Timer(seconds, abandon)
        timer.daemon = True
        timer.start()
        try:
            response = used.send(request, stream=True)
        except Exception:
            if not late.is_set():
                raise
        finally:
            timer.cancel()
        if not late.is_set():
            return response
        self._client = self._connections()
        raise FetchFailed(f"{_name(url)}: no whole answer began within {seconds:,.0f} s")

    def _within_site(self, url: str, origin_of: str | None = None) -> httpx2.URL:
        """The URL as it may be requested; `http` becomes `https` where the site is."""
        try:
            current = httpx2.URL(url)
        except httpx2.InvalidURL as error:
            raise FetchFailed(f"{url!r} is not a URL: {error}") from None
        if current.scheme == "http" and self._site.scheme == "https":
            current = current.copy_with(scheme="https")
        domain = _domain(self._site.host)
        inside = current.host == self._site.host or (
            domain and (current.host == domain or current.host.endswith(f".{domain}"))
        )
        if current.scheme == self._site.scheme and inside and current.port == self._site.port:
            return current
        what = f"{_name(origin_of)}: the redirect to {current} leads" if origin_of else f"{current}: it lies"
        raise FetchFailed(f"{what} outside of {self._site.scheme}://{domain or self._site.netloc.decode()}")

    def _check_status(self, url: str, response: httpx2.Response) -> None:
        status = response.status_code
        if status in (200, 206):
            return
        text = f"HTTP {status} {response.reason_phrase}".rstrip()
        if status in _TRY_AGAIN:
            raise _TryAgain(text, _seconds_requested(response.headers.get("retry-after")))
        head = b""
        with contextlib.suppress(httpx2.HTTPError, _TryAgain, FetchFailed):
            for chunk in _decoded(url, response):
                head += chunk
                if len(head) >= 2048:
                    break
        failed = FetchFailed(f"{_name(url)}: {text}" + (f", {described(head)}" if head else ""))
        failed.status = status
        raise failed


def _joined(url: str, current: httpx2.URL, location: str) -> str:
    try:
        return str(current.join(location))
    except (httpx2.InvalidURL, ValueError) as error:
        raise FetchFailed(f"{_name(url)}: it redirects to {location[:80]!r}, which is not a URL: {error}") from None


@cache
def _tls() -> ssl.SSLContext:
    """Certificates are loaded once: that takes longer than a poll's two requests."""
    return httpx2.create_ssl_context()


def page_text(body: bytes, charset: str | None) -> str:
    """A page's bytes as text: by its byte order mark, by the stated charset if that is one, else as UTF-8."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if body.startswith(mark):
            return body.decode(encoding, errors="replace")
    try:
        return body.decode(charset or "utf-8", errors="replace")
    except (LookupError, ValueError):  # no text encoding of Python's, such as `x-unknown` or `zlib`
        return body.decode("utf-8", errors="replace")


def described(head: bytes) -> str:
    """What bytes that are no zip are, by the first of them: a page's title and how it begins."""
    text = head[:4096].decode("utf-8", errors="replace")
    begins = f"it begins with {' '.join(text.split())[:60]!r}"
    if not re.search(r"<(!doctype html|html|head|title|body)", text, re.IGNORECASE):
        return f"not a zip; it begins with {head[:16]!r}"
    title = re.search(r"<title[^>]*>\s*(.*?)\s*</title>", text, re.IGNORECASE | re.DOTALL)
    return f"an HTML page{f' titled {title[1][:80]!r}' if title else ''}, not a zip; {begins}"


def post_json(url: str, payload: Mapping[str, Any], *, seconds: float = 10) -> None:
    """Send JSON to a URL of the user's; raises ``FetchFailed`` where it is not taken."""
    try:
        headers = {"User-Agent": f"hcpcs/{version('hcpcs')}", "Content-Type": "application/json"}
        content = json.dumps(dict(payload)).encode()  # in ASCII: a quoted file name may be no UTF-8
        response = httpx2.post(url, content=content, headers=headers, timeout=seconds)
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise FetchFailed(f"{url!r} is not a URL: {error}") from None
    except httpx2.HTTPError as error:
        raise FetchFailed(f"{httpx2.URL(url).host or url}: {error or type(error).__name__}") from None
    if response.status_code >= 300:
        raise FetchFailed(f"{response.url.host}: HTTP {response.status_code} {response.reason_phrase}")


@contextlib.contextmanager
def _storage(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFull(
            f"{path.parent}: cannot be written: {error.strerror or error}; nothing was taken in"
        ) from None


def _failure(state: tenacity.RetryCallState) -> _TryAgain:
    error = present(state.outcome).exception()
    if not isinstance(error, _TryAgain):
        raise ProgramFault("a request was tried again for an error that is final")
    return error


def _same(known: Validators, now: Validators) -> bool | None:
    """Whether validators say that a file is the same; None where they have nothing in common to say it by."""
    if known.etag and now.etag:
        return known.etag.removeprefix("W/") == now.etag.removeprefix("W/")
    if known.last_modified and now.last_modified:
        return known.last_modified == now.last_modified
    return None


def _continues(response: httpx2.Response, have: int) -> bool:
    sent = re.match(r"bytes (\d+)-", response.headers.get("content-range", ""))
    return sent is not None and int(sent[1]) == have


def _sendable(value: str | None) -> str | None:
    """A header's value if it can be sent back: ASCII, printable, of some length."""
    return value if value and re.fullmatch(r"[\x20-\x7e]{1,1000}", value) else None


def _length(response: httpx2.Response) -> int | None:
    """The length that an answer announces, if that is a number."""
    found = re.fullmatch(r"[0-9]{1,18}", response.headers.get("content-length", ""))
    return int(found[0]) if found else None


def _decoded(url: str, response: httpx2.Response) -> Iterator[bytes]:
    """The body, unpacked where the server compressed it though no packing was requested: never much at once."""
    coding = response.headers.get("content-encoding", "").strip().lower()
    if coding in ("", "identity"):
        yield from response.iter_raw()
        return
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise FetchFailed(f"{_name(url)}: sent as {coding[:40]!r}, although no compression was requested")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # with a header of gzip or of zlib
    try:
        for compressed in response.iter_raw():
            while compressed and not unpacker.eof:
                yield unpacker.decompress(compressed, _MOST_AT_ONCE)
                compressed = unpacker.unconsumed_tail
    except zlib.error as error:
        raise _TryAgain(f"the {coding} is damaged: {error}") from None
    if not unpacker.eof:
        raise _TryAgain(f"the {coding} ends in the middle")


def _seconds_requested(retry_after: str | None) -> float | None:
    """Seconds of a ``Retry-After``, which is a number or a date (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return None
    if re.fullmatch(r"\s*[0-9]{1,9}\s*", retry_after):
        return float(retry_after)
    try:
        when = email.utils.parsedate_to_datetime(retry_after)
        # A date with the zone -0000 comes without one.
        return max(0.0, ((when if when.tzinfo else when.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, LookupError, OverflowError):
        return None


def _is_certificate_error(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return "CERTIFICATE_VERIFY_FAILED" in str(error)


def _domain(host: str) -> str | None:
    """The domain whose hosts belong to the site: the host without ``www``; None for an IP url or a bare name."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return None
    return host.removeprefix("www.") if "." in host else None


def _name(url: str) -> str:
    """What messages call a page or file: the last part of its URL."""
    path = url.split("?", 1)[0].split("#", 1)[0].rstrip("/")
    return path.rsplit("/", 1)[-1] or url
