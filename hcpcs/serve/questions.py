"""The questions that are answered over HTTP and over MCP, each with the version, the licenses and what is withheld.

A thin face over ``hcpcs.lookup`` and ``hcpcs.check``: nothing here speaks a protocol, and only the open tier is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from hcpcs.check import check_codes
from hcpcs.errors import HcpcsError
from hcpcs.lookup import (
    NotInReleases,
    changes_of,
    code_identity,
    code_on_day,
    code_states,
    normalized_code,
    require_loaded,
    search,
)
from hcpcs.version import Version, day_of
from hcpcs.version_files import Rows, keep_in_memory, plain, read_rows

MOST_CODES = 5_000
MOST_MATCHES = 500
MOST_CHANGES = 5_000

Answer = dict[str, Any]


class WrongQuestion(HcpcsError):
    """A parameter that cannot be read: the question has no answer in any version."""


class Questions:
    """The questions to one version; each answer has the keys of ``_answer``, its days as dates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.version = Version(folder)
        keep_in_memory(folder)
        self._names = {row["license_id"]: row["name"] for row in read_rows(folder, "licenses")}

    def lookup(self, code: str, on: str | None = None) -> Answer:
        """What a code or modifier means, in its latest state or on a day.

        ``stated``: whether a loaded release states it; if not, ``answer`` is what its format says of it.
        """
        day = _day(on)
        try:
            found: Any = code_states(self.folder, code) if day is None else code_on_day(self.folder, code, day)
        except NotInReleases:
            found, is_stated = code_identity(self.folder, code, day), False
        except HcpcsError as error:
            raise WrongQuestion(str(error)) from None
        else:
            is_stated = True
        return self._answer({"code": code, "on": on}, found) | {"stated": is_stated}

    def check(self, codes: Sequence[str], on: str | None = None, since: str | None = None) -> Answer:
        """What each code of a list is on a day (by default today), and what changed after the release ``since``."""
        if not codes or len(codes) > MOST_CODES:
            raise WrongQuestion(f"{len(codes)} codes: a list has 1 to {MOST_CODES:,}")
        day = _day(on) or date.today()
        rows = check_codes(self.folder, codes, day=day, since=since)
        return self._answer({"codes": len(codes), "on": day, "since": since}, rows)

    def search(self, words: str, limit: int = 50) -> Answer:
        """Codes whose descriptions, of any time, have all the words; typos are forgiven."""
        rows = search(self.folder, words)
        part = rows[: _bounded("limit", limit, MOST_MATCHES)]
        return self._answer({"words": words, "limit": limit}, part) | {"total": len(rows)}

    def changes(
        self,
        release: str = "latest",
        codes: Sequence[str] = (),
        change: str | None = None,
        limit: int = 1_000,
        offset: int = 0,
    ) -> Answer:
        """What a release changed against the loaded release before it; of these codes and this class alone."""
        release_id = require_loaded(self.folder, release)
        listed = [normalized_code(code) for code in codes] or None
        rows = changes_of(self.folder, release_id, codes=listed, change=[change] if change else ())
        asked = {"release": release_id, "codes": list(codes), "change": change, "limit": limit, "offset": offset}
        start = _bounded("offset", offset, 10**9, least=0)
        part = rows[start : start + _bounded("limit", limit, MOST_CHANGES)]
        return self._answer(asked, part) | {"total": len(rows)}

    def _answer(self, asked: dict[str, Any], found: dict[str, Any] | Rows) -> Answer:
        """``version``, ``newest_release``, ``question``, ``answer``, ``licenses`` (id and name of those of the answer)
        and ``withheld`` (code, fields, license).
        """
        rows = list(_dictionaries(found))
        licenses = sorted({row["license_id"] for row in rows if row.get("license_id")})
        return {
            "version": self.version.id,
            "newest_release": self.version.manifest.content.newest_release,
            "question": asked,
            "answer": found,
            "licenses": {license_id: self._names.get(license_id) for license_id in licenses},
            "withheld": [entry for row in rows if (entry := _withheld(row))],
        }


def json_bytes(answer: Any) -> bytes:
    """An answer as JSON, days as YYYY-MM-DD."""
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"), default=plain).encode()


def _dictionaries(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _dictionaries(one)


def _withheld(row: dict[str, Any]) -> dict[str, Any] | None:
    """What a row leaves out: named by the row itself, or the texts of a row that belongs to another owner."""
    fields = list(row.get("withheld_fields") or ())
    texts = [name for name in ("short_description", "long_description", "description") if name in row]
    is_of_others = row.get("redistribution") == "withheld" or row.get("status") in ("not_loaded", "system_ended")
    if not fields and is_of_others:
        fields = [name for name in texts if row[name] is None] or ["description"]
    if not fields:
        return None
    return {"code": row.get("code"), "fields": fields, "license_id": row.get("license_id")}


def _day(on: str | None) -> date | None:
    try:
        return None if on is None else day_of(on)
    except ValueError as error:
        raise WrongQuestion(f"on: {error}") from None


def _bounded(name: str, number: int, most: int, least: int = 1) -> int:
    if not least <= number <= most:
        raise WrongQuestion(f"{name}: {number} is not from {least} to {most:,}")
    return number
