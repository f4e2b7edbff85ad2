"""Notices to the user's own command or webhook: a version was published, or a refresh refused.

A notice of a version carries what it changed for each watched list.

A notification that fails is a line of words for the caller: it never undoes what was published.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from hcpcs.errors import HcpcsError
from hcpcs.paths import Outputs
from hcpcs.version import latest_version
from hcpcs.version_files import FileDamaged, Rows
from pipeline.versions.watched import watched_changes

if TYPE_CHECKING:
    from pipeline.refresh.refresh import RefreshResult

_COMMAND_SECONDS = 60
#: So many codes of a watched list are in a notice's text; all are in its ``watched``.
_MOST_NAMED = 20

Event = Literal["published", "refused"]


@dataclass(frozen=True, slots=True)
class Notice:
    """What is reported: the event, one paragraph of ``text``, the version where there is one, and details as JSON."""

    event: Event
    text: str
    version: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    watched: Mapping[str, Rows] = field(default_factory=dict)

    def payload(self) -> dict[str, Any]:
        """The notice as JSON; ``text`` is the key that chat webhooks show."""
        return {
            "event": self.event,
            "text": "\n".join([self.text, *(_words(name, rows) for name, rows in self.watched.items())]),
            "version": self.version,
            "details": dict(self.details),
            "watched": dict(self.watched),
        }


def notify(notice: Notice, *, command: str | None = None, webhook: str | None = None) -> list[str]:
    """Run ``command`` with the notice as JSON on its standard input, and post it to ``webhook``; returns what failed.

    The command is split like a shell's words and run without a shell; it has a minute.
    """
    problems = []
    if command:
        problems += _run(command, json.dumps(notice.payload()).encode())
    if webhook:
        from sources.site.client import FetchFailed, post_json

        try:
            post_json(webhook, notice.payload())
        except FetchFailed as error:
            problems.append(f"the webhook received no notice: {error}")
    return problems


@dataclass(frozen=True, slots=True)
class Notifier:
    """Sends notices to the ``command`` and the ``webhook`` that are set; what failed goes to ``warn``, line by line."""

    command: str | None = None
    webhook: str | None = None

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> Notifier:
        """As HCPCS_NOTIFY_COMMAND and HCPCS_NOTIFY_WEBHOOK say."""
        return cls(environment.get("HCPCS_NOTIFY_COMMAND"), environment.get("HCPCS_NOTIFY_WEBHOOK"))

    def send(self, notice: Notice, outputs: Outputs, warn: Callable[[str], None]) -> None:
        """Send one notice; of a version, with what it changed for the lists that are watched in ``outputs``."""
        if not (self.command or self.webhook):
            return
        if notice.event == "published":
            try:
                notice = replace(notice, watched=watched_changes(outputs, warn))
            except (HcpcsError, OSError) as error:
                warn(f"the notice lacks the changes of watched lists: {error}")
        for problem in notify(notice, command=self.command, webhook=self.webhook):
            warn(problem)

    def send_of(self, done: RefreshResult, outputs: Outputs, warn: Callable[[str], None]) -> None:
        """Send a notice of what a refresh did, unless that was nothing."""
        if done.is_new or done.refused or (done.fetched and done.fetched.refused):
            event: Event = "published" if done.is_new else "refused"
            notice = Notice(event, done.words(), done.published.version, done.summary().as_json())
            self.send(notice, outputs, warn)

    @contextlib.contextmanager
    def of_failure(self, outputs: Outputs, warn: Callable[[str], None]) -> Iterator[None]:
        """Send a notice of any error within: refused, or published where a new version was published before it."""
        before = _newest(outputs)
        try:
            yield
        except Exception as error:
            now = _newest(outputs)
            event: Event = "published" if now is not None and now != before else "refused"
            text = str(error) or type(error).__name__
            if event == "published":
                text = f"published version {now}; then failed: {text}"
            self.send(Notice(event, text, now), outputs, warn)
            raise


def _words(name: str, rows: Rows) -> str:
    """What changed for a watched list, in a line."""
    changes: dict[str, list[str]] = {}
    for row in rows:
        changes.setdefault(row["code"], []).append(row["change"].replace("_", " "))
    codes = [f"{code} {', '.join(dict.fromkeys(what))}" for code, what in changes.items()]
    more = f"; and {len(codes) - _MOST_NAMED} more" if len(codes) > _MOST_NAMED else ""
    return f"watched list {name}, {len(codes)} changed: {'; '.join(codes[:_MOST_NAMED])}{more}"


def _newest(outputs: Outputs) -> str | None:
    try:
        return latest_version(outputs)
    except FileDamaged:  # the refresh mends it
        return None


def _run(command: str, payload: bytes) -> list[str]:
    try:
        words = shlex.split(command)
        subprocess.run(words, input=payload, timeout=_COMMAND_SECONDS, check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        stated = error.stderr.decode(errors="replace").strip()[:200]
        return [f"the command {words[0]} ended with status {error.returncode}{f': {stated}' if stated else ''}"]
    except subprocess.TimeoutExpired:
        return [f"the command {words[0]} did not end within {_COMMAND_SECONDS} s and was killed"]
    except (OSError, ValueError, IndexError) as error:
        return [f"the command {command!r} was not run: {error}"]
    return []
