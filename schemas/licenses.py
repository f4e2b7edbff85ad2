"""Contract of ``licenses``: owners, and what may be done with their texts."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import TableFacts, curated, curated_confidence, curated_source


class Licenses(pa.DataFrameModel):
    """One row per license: holder, permitted use, and the notice to include."""

    license_id: str = curated(
        "SPDX identifier of the license, or a `LicenseRef-` of this project.",
        str_matches=r"^[A-Za-z0-9.-]+$",
    )
    name: str = curated("Name of the license.")
    holder: str = curated("Holder of the rights.")
    covers: str = curated("What the license covers.")
    codes: str = curated("What may be done with codes.")
    ranges: str = curated("What may be done with ranges of codes.")
    descriptors: str = curated("What may be done with descriptions.")
    inside_organization: str = curated("Use inside the organization, in the United States.")
    giving_to_partner: str = curated("Giving it to a partner, in the United States.")
    publishing: str = curated("Publishing it, in the United States.")
    commercial_product: str = curated("Shipping it in a commercial product, in the United States.")
    outside_united_states: str = curated("What is different outside the United States.")
    who_to_ask: str = curated("Whom to ask for a license or a ruling.")
    notice: str = curated("Notice to include when you redistribute the data.")
    text_file: str = curated(
        "File of the version with the text.",
        str_matches=r"^LICENSES/[A-Za-z0-9.-]+\.txt$",
    )
    source: str = curated_source()
    date_checked: pl.Date = curated("Day on which it was checked.")
    confidence: str = curated_confidence()

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["license_id"]
        metadata = TableFacts("reference", derived_from="curated_licenses")
