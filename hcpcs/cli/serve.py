"""``hcpcs serve`` and ``hcpcs mcp``: a version's answers to other programs."""

from __future__ import annotations

import click

from hcpcs.cli.console import outputs_option, version_of, version_option
from hcpcs.errors import HcpcsError
from hcpcs.paths import Outputs


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="The interface to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8017, show_default=True, help="0: any free one.")
@version_option
@outputs_option
def serve_command(outputs: Outputs, host: str, port: int, version: str | None) -> None:
    """Serve a version's answers as read-only JSON over HTTP, by default on loopback alone.

    Needs the extra `serve`. It answers by the version that is the latest when it starts; start it anew after a refresh.

    \b
    Example: hcpcs serve --port 8017
    """
    folder = version_of(outputs, version)
    try:
        import uvicorn

        from hcpcs.serve.app import LOOPBACK, application
    except ModuleNotFoundError as error:
        raise _missing("serve", error) from None
    from hcpcs.serve.questions import Questions

    questions = Questions(folder)
    is_loopback = host in LOOPBACK
    app = application(questions, hosts=LOOPBACK if is_loopback else ("*",))
    if not is_loopback:
        click.echo(f"listening on {host}: any machine that reaches it gets answers; there is no login", err=True)
    click.echo(f"version {questions.version.id}; Ctrl-C ends it", err=True)
    uvicorn.run(app, host=host, port=port, log_level="info", access_log=False, server_header=False)


@click.command("mcp")
@version_option
@outputs_option
def mcp_command(outputs: Outputs, version: str | None) -> None:
    """Serve a version's answers as tools of the Model Context Protocol, over standard input and output.

    Needs the extra `mcp`. A client starts it; docs/serve.md has the lines for its configuration.

    \b
    Example: hcpcs mcp
    """
    folder = version_of(outputs, version)
    try:
        from hcpcs.serve.mcp_server import mcp_server
    except ModuleNotFoundError as error:
        raise _missing("mcp", error) from None
    from hcpcs.serve.questions import Questions

    mcp_server(Questions(folder)).run("stdio")


def _missing(extra: str, error: ModuleNotFoundError) -> HcpcsError:
    return HcpcsError(f"`hcpcs {extra}` needs {error.name}: install hcpcs[{extra}]")
