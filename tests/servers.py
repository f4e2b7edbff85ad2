"""Servers on the loopback address that publishing is tested with: one that speaks S3, and a plain web server."""

from __future__ import annotations

import functools
import http.server
import re
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import obstore
import obstore.store
import pytest


@dataclass(frozen=True)
class S3Server:
    """A server that honors conditional writes, with one bucket."""

    endpoint: str
    bucket: str = "s3://bucket"

    def read(self, key: str) -> bytes:
        """The bytes of an object."""
        return bytes(obstore.get(obstore.store.from_url(self.bucket), key).bytes())


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server with an empty bucket, named by the environment as object stores' own tools read it."""
    from moto.server import ThreadedMotoServer  # half a second, in each process that collects tests

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/bucket", method="PUT"))
    stated = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "made-up",
        "AWS_SECRET_ACCESS_KEY": "made-up",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stated.items():
            patch.setenv(name, value)
        yield S3Server(endpoint)
    server.stop()


class _SilentHandler(http.server.SimpleHTTPRequestHandler):
    """Python's server, with the ranges that every other one offers and that readers of Parquet ask for."""

    def do_GET(self) -> None:
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if found is None or not path.is_file():
            super().do_GET()
            return
        data = path.read_bytes()
        last = len(data) - 1
        # `bytes=-8` asks for the last eight.
        first = int(found[1]) if found[1] else max(0, len(data) - int(found[2]))
        if found[1] and found[2]:
            last = min(int(found[2]), last)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        self.wfile.write(data[first : last + 1])

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A folder behind a plain web server; gives its URL."""
    handler = functools.partial(_SilentHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
