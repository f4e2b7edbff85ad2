"""A web site on loopback that behaves like CMS's: a page of links, zips with validators and ranges, and every bad day.

It is a real HTTP server on a real socket, one thread a connection. Nothing waits longer than the server lives.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from email.utils import formatdate
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = "/medicare/quarterly-update"
_POSTED = 1_750_000_000

Behavior = Callable[["_Handler", bytes], None]


@dataclass
class Request:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class _File:
    body: bytes
    content_type: str
    posted: int
    validators: bool = True
    ranges: bool = True
    bad_days: list[Behavior] = field(default_factory=list)
    always: Behavior | None = None

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.body).hexdigest()[:16]}"'


class SiteServer:
    """The site: a context manager; ``url`` is the address of its page."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self.files: dict[str, _File] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._server.site = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> SiteServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return self.root + PAGE

    def list_links(self, links: Iterable[tuple[str, str]], *, title: str = "HCPCS Quarterly Update | CMS") -> None:
        """Make the page one that lists ``links``, each an href and a text."""
        items = "\n".join(f'<li><a href="{escape(href)}">{escape(text)}</a></li>' for href, text in links)
        self.put_page(f"<!DOCTYPE html><html><head><title>{title}</title></head><body><ul>{items}</ul></body></html>")

    def put_page(self, html: str) -> None:
        self._put(PAGE, html.encode(), "text/html; charset=utf-8")

    def put(self, path: str, body: bytes, *, validators: bool = True, ranges: bool = True) -> None:
        """Post a file, or post it again."""
        self._put(path, body, "application/zip", validators=validators, ranges=ranges)

    def _put(self, path: str, body: bytes, content_type: str, **how: bool) -> None:
        posted = self.files[path].posted + 60 if path in self.files else _POSTED
        self.files[path] = _File(body, content_type, posted, **how)

    def bad_days(self, path: str, *behaviors: Behavior) -> None:
        """Answer the next requests for ``path`` so, one each; then as before."""
        self.files.setdefault(path, _File(b"", "text/html", _POSTED)).bad_days.extend(behaviors)

    def always(self, path: str, behavior: Behavior) -> None:
        """Answer every request for ``path`` so."""
        self.files.setdefault(path, _File(b"", "text/html", _POSTED)).always = behavior

    def asked_for(self, path: str) -> list[Request]:
        return [r for r in self.requests if r.path == path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10

    @property
    def site(self) -> SiteServer:
        return self.server.site  # type: ignore[attr-defined, no-any-return]

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.site.requests.append(Request(self.command, self.path, dict(self.headers.items()), body))
        file = self.site.files.get(self.path)
        with contextlib.suppress(ConnectionError):
            if file is None:
                status(404, body=b"<html><head><title>Page Not Found</title></head></html>")(self, b"")
            elif file.always is not None:
                file.always(self, file.body)
            elif file.bad_days:
                file.bad_days.pop(0)(self, file.body)
            else:
                self._good(file)

    def _good(self, file: _File) -> None:
        date = formatdate(file.posted, usegmt=True)
        headers = {"Content-Type": file.content_type}
        if file.validators:
            headers |= {"ETag": file.etag, "Last-Modified": date}
            asked = self.headers.get("If-None-Match")
            if asked == file.etag or (asked is None and self.headers.get("If-Modified-Since") == date):
                return self.send(304, headers, b"")
        start = self._range(file, date)
        if start is None:
            return self.send(200, headers, file.body)
        headers["Content-Range"] = f"bytes {start}-{len(file.body) - 1}/{len(file.body)}"
        return self.send(206, headers, file.body[start:])

    def _range(self, file: _File, date: str) -> int | None:
        asked = self.headers.get("Range")
        guard = self.headers.get("If-Range")
        if not asked or not file.ranges or guard not in (None, file.etag, date):
            return None
        return int(asked.removeprefix("bytes=").split("-")[0])

    def send(self, code: int, headers: dict[str, str], body: bytes, *, length: int | None = None) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        if code != 304:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD" and code != 304:
            self.wfile.write(body)

    def start(self, body: bytes) -> None:
        """The headers of a good answer, validators and all, without its body."""
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        self.send(200, {"Content-Type": "application/zip", "ETag": etag}, b"", length=len(body))

    def hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()


def status(code: int, *, body: bytes = b"", headers: dict[str, str] | None = None) -> Behavior:
    def behave(handler: _Handler, _: bytes) -> None:
        handler.send(code, {"Content-Type": "text/html"} | (headers or {}), body)

    return behave


def html_with_200(title: str = "License for Use of CPT") -> Behavior:
    return status(
        200, body=f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body>Accept</body></html>".encode()
    )


def redirect(to: str) -> Behavior:
    return status(302, headers={"Location": to})


def hang_before_the_first_byte(handler: _Handler, _: bytes) -> None:
    handler.site.closing.wait(10)
    handler.close_connection = True


def hang_in_the_middle(handler: _Handler, body: bytes) -> None:
    handler.start(body)
    handler.wfile.write(body[: len(body) // 2])
    handler.wfile.flush()
    handler.site.closing.wait(10)
    handler.close_connection = True


def cut_at(share: float) -> Behavior:
    def behave(handler: _Handler, body: bytes) -> None:
        handler.start(body)
        handler.wfile.write(body[: int(len(body) * share)])
        handler.hang_up()

    return behave


def wrong_length(by: int) -> Behavior:
    """Announce so many bytes more (or fewer) than are sent."""

    def behave(handler: _Handler, body: bytes) -> None:
        handler.send(200, {"Content-Type": "application/zip"}, body, length=len(body) + by)
        handler.hang_up()

    return behave


def endless(handler: _Handler, body: bytes) -> None:
    """Send on and on, with no length announced."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/zip")
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.close_connection = True
    handler.wfile.write(body[:4])
    while not handler.site.closing.is_set():
        handler.wfile.write(b"\0" * 65536)


def drip(seconds: float) -> Behavior:
    """Send a byte now and then: never silent, never done."""

    def behave(handler: _Handler, body: bytes) -> None:
        handler.start(body)
        for byte in body:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            if handler.site.closing.wait(seconds):
                break
        handler.close_connection = True

    return behave
