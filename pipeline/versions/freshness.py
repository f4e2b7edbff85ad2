"""Whether the latest version has the newest release that CMS's calendar expects: one rule for every door. No clock.

``hcpcs status``, ``hcpcs status --check`` and Dagster's check ``newest_release_is_current`` state what this returns.
"""

from __future__ import annotations

from datetime import date

from hcpcs.paths import Outputs
from hcpcs.version import latest_version
from pipeline.versions.store import read_manifest
from sources.release.calendar import Freshness, freshness, sample_freshness


def published_freshness(outputs: Outputs, today: date) -> Freshness:
    """Compare the newest release in the latest version with CMS's calendar; publishing it again makes it no newer.

    Raises ``ManifestDamaged`` or ``FileDamaged``.
    """
    version = latest_version(outputs)
    if version is None:
        return freshness(None, today)
    content = read_manifest(outputs.version(version)).content
    newest = max(release.release_id for release in content.releases)
    return sample_freshness(newest, today) if content.is_sample else freshness(newest, today)
