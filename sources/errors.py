"""The ways in which an input can be refused. Each message names what is wrong, with the value, and where.

Everything here is raised by library code; only the command line turns it into a line on stderr.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hcpcs.errors import HcpcsError

if TYPE_CHECKING:
    from sources.findings import Finding


class SourceError(HcpcsError):
    """An input cannot be used as it is."""


class ZipRefused(SourceError):
    """A file is not a zip that can be read safely: not a zip, cut, encrypted, empty, climbing out, or a bomb."""


class ReleaseUnclear(SourceError):
    """The names do not say which release this is, or contradict each other."""


class NotHcpcs(SourceError):
    """A zip is no release of HCPCS Level II and none of its side files."""


class MemberError(SourceError):
    """A zip's members are not what a release needs: no code file, or two different ones."""


class CuratedFileError(SourceError):
    """A curated file breaks a rule; the message names file and line."""


class ReleaseRefused(SourceError):
    """A release's code file breaks the record layout; carries every finding that was made.

    ``findings`` holds all of them, so that one run shows everything that is wrong.
    """

    def __init__(self, release_id: str, findings: Sequence[Finding]) -> None:
        self.release_id = release_id
        self.findings = list(findings)
        errors = [f for f in self.findings if f.severity == "error"]
        first = errors[0]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(f"{release_id}: {first.where()}: {first.message}{more}")
