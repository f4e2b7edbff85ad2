"""What every export says of itself: which version it is, and what may be done with it."""

from __future__ import annotations

from hcpcs.version import Version


def license_notice(version: Version, about: str) -> str:
    """The text of a ``NOTICE.txt``: what the files are (``about``), their version, and every license's notice."""
    licenses = version.table("licenses", ["license_id", "notice"]).to_pylist()
    parts = [
        f"{about}\nVersion {version.id} of the hcpcs tables.",
        *(f"{x['license_id']}\n{x['notice']}" for x in licenses),
    ]
    return "\n\n".join(parts) + "\n"
