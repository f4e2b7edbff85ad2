"""The published tables of US procedure codes, in Python: ``hcpcs.open()`` and the methods of ``hcpcs.Version``.

Nothing heavy is imported before it is used, and nothing of the pipeline ever.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hcpcs.errors import HcpcsError

if TYPE_CHECKING:
    from hcpcs.version import Version

__all__ = ["HcpcsError", "Version", "open"]


def open(version: str | Path | None = None, outputs: str | Path | None = None) -> Version:
    """Open a published version: by default the latest.

    ``version``: a version's id, ``latest``, its folder, a folder of outputs, a published target, or the URL of one.
    ``outputs``: the folder of outputs; by default ``HCPCS_OUTPUTS``, else ``outputs`` in a clone, else your folder for
    data. Raises ``HcpcsError`` where there is no such version.

    >>> hcpcs.open().lookup("J0570", on="2018-06-30")["span"]["short_description"]
    'Sample rod under the skin'
    """
    from hcpcs.paths import Outputs, default_outputs
    from hcpcs.version import open_version

    place = Path(outputs or os.environ.get("HCPCS_OUTPUTS") or default_outputs())
    return open_version(Outputs(place.resolve()), None if version is None else str(version))


def __getattr__(name: str) -> Any:
    if name == "Version":
        from hcpcs.version import Version

        return Version
    raise AttributeError(f"module 'hcpcs' has no attribute {name!r}")
