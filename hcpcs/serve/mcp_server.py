"""The questions as tools of the Model Context Protocol, by its official package."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

from hcpcs.errors import HcpcsError
from hcpcs.serve.questions import Questions, json_bytes

_INSTRUCTIONS = (
    "Answers about US procedure codes (HCPCS Level II and its modifiers) by version {version} of the data; its newest"
    " release is {newest}. A code's meaning depends on the day: give `on` (YYYY-MM-DD) for a date of service. CPT and"
    " CDT codes belong to the AMA and the ADA: their texts are withheld, and each answer states its licenses and what"
    " is left out."
)


def _plain(ask: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """An answer as the protocol's structured content has it, days as texts; raises ``ToolError`` with our message."""
    try:
        plain: dict[str, Any] = json.loads(json_bytes(ask(*arguments)))
    except HcpcsError as error:
        raise ToolError(str(error)) from None
    return plain


Day = Annotated[str | None, Field(description="A day, YYYY-MM-DD.")]
Code = Annotated[str, Field(description="A code or modifier, such as J0570, 99213 or JW.")]
Codes = Annotated[list[str], Field(description="Codes and modifiers, such as J0570 or J1100-JW.")]
Release = Annotated[str | None, Field(description="A loaded release, such as 2025-10.")]


def mcp_server(questions: Questions) -> MCPServer:
    """The server; its tools are the methods of ``Questions``."""
    newest = questions.version.manifest.content.newest_release
    version = questions.version.id
    server = MCPServer(
        "hcpcs",
        version=version,
        instructions=_INSTRUCTIONS.format(version=version, newest=newest),
        log_level="WARNING",
    )
    reads_only = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)

    @server.tool(annotations=reads_only)
    def lookup_code(code: Code, on: Day = None) -> dict[str, Any]:
        """What a code or modifier means: every episode in its latest state, or what it meant on a day."""
        return _plain(questions.lookup, code, on)

    @server.tool(annotations=reads_only)
    def check_codes(codes: Codes, on: Day = None, since: Release = None) -> dict[str, Any]:
        """What each code of a list is on a day, by default today: valid, ended and replaced by what, not CMS's, ...

        With `since`, also what changed after that release.
        """
        return _plain(questions.check, codes, on, since)

    @server.tool(annotations=reads_only)
    def search_codes(words: str, limit: int = 20) -> dict[str, Any]:
        """Find codes whose descriptions, of any time, have all the words; typos are forgiven."""
        return _plain(questions.search, words, limit)

    @server.tool(annotations=reads_only)
    def list_changes(
        release: Annotated[str, Field(description="A loaded release such as 2025-10, or latest.")] = "latest",
        codes: Annotated[list[str] | None, Field(description="Only these codes.")] = None,
        change: Annotated[str | None, Field(description="Only this class, such as added or discontinued.")] = None,
        limit: int = 200,
        offset: int = 0,
    ) -> dict[str, Any]:
        """List what a release changed against the loaded release before it."""
        return _plain(questions.changes, release, codes or (), change, limit, offset)

    return server
