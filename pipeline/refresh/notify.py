"""Telling the user's own command or webhook that a version was published or a refresh refused. Decides nothing.

A notification that fails is a line of words for the caller: it never undoes what was published.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sources.site.client import FetchFailed, post_json

_COMMAND_SECONDS = 60

Event = Literal["published", "refused"]


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told: the event, one paragraph of ``text``, the version where there is one, and details as JSON."""

    event: Event
    text: str
    version: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def payload(self) -> dict[str, Any]:
        """The notice as JSON; ``text`` is the key that chat webhooks show."""
        return {"event": self.event, "text": self.text, "version": self.version, "details": dict(self.details)}


def notify(notice: Notice, *, command: str | None = None, webhook: str | None = None) -> list[str]:
    """Run ``command`` with the notice as JSON on its standard input, and post it to ``webhook``; returns what failed.

    The command is split like a shell's words and run without a shell; it has a minute.
    """
    problems = []
    if command:
        problems += _run(command, json.dumps(notice.payload(), ensure_ascii=False))
    if webhook:
        try:
            post_json(webhook, notice.payload())
        except FetchFailed as error:
            problems.append(f"the webhook was not told: {error}")
    return problems


def _run(command: str, payload: str) -> list[str]:
    try:
        words = shlex.split(command)
        subprocess.run(words, input=payload, text=True, timeout=_COMMAND_SECONDS, check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        said = f": {error.stderr.strip()[:200]}" if error.stderr.strip() else ""
        return [f"the command {words[0]} ended with status {error.returncode}{said}"]
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        return [f"the command {command!r} was not run: {error}"]
    return []
