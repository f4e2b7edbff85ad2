"""The questions over HTTP: read-only JSON, an ETag by version, and the description of it all as OpenAPI."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hcpcs.errors import HcpcsError
from hcpcs.serve.questions import Questions, WrongQuestion, json_bytes

#: A list of the most codes that one request may have is far smaller.
_MOST_BYTES = 1_000_000
_MOST_KEPT = 20_000
LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")

_Ask = Callable[[dict[str, str]], tuple[int, dict[str, Any]]]


def application(questions: Questions, *, hosts: tuple[str, ...] = LOOPBACK) -> Starlette:
    """The application; it answers requests that name one of ``hosts`` (``*``: any) and refuses others."""
    service = _Service(questions)
    routes = [
        Route("/", service.answer(service.start)),
        Route("/openapi.json", service.answer(lambda _: (200, _description(questions.version.id)))),
        Route("/codes/{code:path}", service.answer(service.lookup)),
        Route("/check", service.answer(service.check), methods=["GET"]),
        Route("/check", service.check_posted, methods=["POST"]),
        Route("/search", service.answer(service.search)),
        Route("/changes", service.answer(service.changes)),
    ]
    handlers: dict[Any, Any] = {404: _not_there, 405: _not_there}
    # Another site's page could reach a service on loopback by a name of its own that leads here.
    guard = Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    return Starlette(routes=routes, middleware=[guard], exception_handlers=handlers)


class _Service:
    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._seal = f"{questions.version.id}-{questions.version.manifest.as_json()['sha256'][:12]}"

    def answer(self, ask: _Ask) -> Callable[[Request], Any]:
        """An endpoint that answers by ``ask``; answers are kept, since a version does not change."""

        @lru_cache(maxsize=_MOST_KEPT)
        def kept(parameters: tuple[tuple[str, str], ...], _: date) -> tuple[int, bytes]:
            try:
                status, found = ask(_each_once(parameters))
            except WrongQuestion as error:
                status, found = 400, self._error(error)
            except HcpcsError as error:
                status, found = 404, self._error(error)
            return status, json_bytes(found)

        async def endpoint(request: Request) -> Response:
            parameters = (*request.path_params.items(), *request.query_params.multi_items())
            # What is asked without a day is asked for today.
            today = date.today()
            etag = f'"{self._seal}"' if "on" in request.query_params else f'"{self._seal}-{today:%Y%m%d}"'
            if etag in (tag.strip() for tag in request.headers.get("if-none-match", "").split(",")):
                return Response(status_code=304, headers={"ETag": etag})
            status, body = kept(parameters, today)
            return _response(status, body, {"ETag": etag} if status == 200 else {})

        return endpoint

    async def check_posted(self, request: Request) -> Response:
        """``/check`` with a list in the body: ``{"codes": [...], "on": ..., "since": ...}``."""
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > _MOST_BYTES:
                return _response(413, json_bytes({"error": f"the body is longer than {_MOST_BYTES:,} bytes"}))
        try:
            asked = json.loads(bytes(body))
            if not isinstance(asked, dict) or asked.keys() - {"codes", "on", "since"}:
                raise WrongQuestion("the body is a JSON object with codes (a list of texts), and on, since")
            codes = asked.get("codes")
            if not isinstance(codes, list) or not all(isinstance(code, str) for code in codes):
                raise WrongQuestion("codes: a list of texts")
            on, since = (_text(asked, name) for name in ("on", "since"))
            return _response(200, json_bytes(self._questions.check(codes, on, since)))
        except (ValueError, RecursionError) as error:  # the latter from brackets within brackets
            return _response(400, json_bytes(self._error(WrongQuestion(f"the body is no JSON: {error}"))))
        except HcpcsError as error:
            return _response(400 if isinstance(error, WrongQuestion) else 404, json_bytes(self._error(error)))

    def start(self, parameters: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """What there is to ask."""
        _known(parameters)
        return 200, {
            "version": self._questions.version.id,
            "newest_release": self._questions.version.manifest.content.newest_release,
            "paths": [
                "/openapi.json",
                "/codes/{code}?on=",
                "/check?codes=&on=&since=",
                "/search?q=",
                "/changes?release=",
            ],
        }

    def lookup(self, parameters: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """``/codes/{code}``: 404 for a code of CMS's or nobody's that no loaded release states."""
        _known(parameters, "code", "on")
        found = self._questions.lookup(parameters["code"], parameters.get("on"))
        is_known = found["stated"] or found["answer"]["steward"] not in ("CMS", None)
        return 200 if is_known else 404, found

    def check(self, parameters: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """``/check`` with the codes in the URL, separated by commas."""
        _known(parameters, "codes", "on", "since")
        codes = [code for code in parameters.get("codes", "").split(",") if code]
        return 200, self._questions.check(codes, parameters.get("on"), parameters.get("since"))

    def search(self, parameters: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """``/search``."""
        _known(parameters, "q", "limit")
        if not parameters.get("q", "").strip():
            raise WrongQuestion("q: words, or a code")
        return 200, self._questions.search(parameters["q"], _number(parameters, "limit", 50))

    def changes(self, parameters: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """``/changes``."""
        _known(parameters, "release", "codes", "change", "limit", "offset")
        return 200, self._questions.changes(
            parameters.get("release", "latest"),
            [code for code in parameters.get("codes", "").split(",") if code],
            parameters.get("change"),
            _number(parameters, "limit", 1_000),
            _number(parameters, "offset", 0),
        )

    def _error(self, error: Exception) -> dict[str, Any]:
        return {"version": self._questions.version.id, "error": str(error)}


def _description(version: str) -> dict[str, Any]:
    """``openapi.json``, of a service that answers by this version of the data."""
    described: dict[str, Any] = json.loads(Path(__file__).with_name("openapi.json").read_bytes())
    described["info"]["version"] = version
    return described


def _each_once(parameters: tuple[tuple[str, str], ...]) -> dict[str, str]:
    names = [name for name, _ in parameters]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise WrongQuestion(f"given twice: {', '.join(twice)}")
    return dict(parameters)


def _known(parameters: dict[str, str], *names: str) -> None:
    if unknown := sorted(parameters.keys() - set(names)):
        raise WrongQuestion(f"unknown parameters {', '.join(unknown)}; there are {', '.join(names) or 'none'}")


def _number(parameters: dict[str, str], name: str, default: int) -> int:
    text = parameters.get(name, str(default))
    if not re.fullmatch("[0-9]{1,18}", text):
        raise WrongQuestion(f"{name}: {text[:20]!r} is no whole number from 0 on, of at most 18 digits")
    return int(text)


def _text(asked: dict[str, Any], name: str) -> str | None:
    value = asked.get(name)
    if value is not None and not isinstance(value, str):
        raise WrongQuestion(f"{name}: a text")
    return value


def _response(status: int, body: bytes, headers: dict[str, str] | None = None) -> Response:
    usual = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return Response(body, status, usual | (headers or {}), "application/json")


async def _not_there(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    what = "reads only: GET, and POST of /check" if status == 405 else "no such path; / lists them"
    return _response(status, json_bytes({"error": f"{request.method} {request.url.path}: {what}"}))
