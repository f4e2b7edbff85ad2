"""What every export says of itself: which version it is, and what may be done with it."""

from __future__ import annotations

from hcpcs.version import Version

#: The file that every folder of an export has.
NOTICE = "NOTICE.txt"


def license_notice(version: Version, about: str) -> str:
    """The text of a ``NOTICE.txt``: what the files are (``about``), their version, and every license's notice.

    Of the restricted tier, its own notice in place of those: they state what the open tier leaves out.
    """
    about = f"{about}\nVersion {version.id} of the hcpcs tables."
    restricted = version.manifest.content.restricted
    if restricted is not None:
        return f"{about}\n\n{restricted.notice}"
    licenses = version.table("licenses", ["license_id", "notice"]).to_pylist()
    return "\n\n".join([about, *(f"{x['license_id']}\n{x['notice']}" for x in licenses)]) + "\n"
