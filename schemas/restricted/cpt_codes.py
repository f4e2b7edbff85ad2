"""Contract of ``cpt_codes``: CPT codes with the descriptors of a licensee's files. Restricted tier only."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import DERIVED, LICENSE_CC0, LICENSE_CPT, SHA256, column

CPT_CODE = r"^[0-9]{4}[0-9FTUMA]$"
VALID_FROM_BASES = ("descriptor", "not_stated")


class CptCodes(pa.DataFrameModel):
    """One row per CPT code in the licensee's files of the AMA, for their edition."""

    code: str = column("The CPT code.", source="AMA file", license_id=LICENSE_CPT, str_matches=CPT_CODE)
    code_system: str = column(
        "Code system by the code's format, see `code_systems`.",
        source=DERIVED,
        license_id=LICENSE_CC0,
        lineage=("cpt_codes.code",),
    )
    category: str = column(
        "CPT category by the code's format.",
        source=DERIVED,
        license_id=LICENSE_CC0,
        nullable=True,
        lineage=("cpt_codes.code",),
    )
    section: str = column(
        "Section with the code on its first day, see `code_sections`.",
        source=DERIVED,
        license_id=LICENSE_CC0,
        nullable=True,
        lineage=("cpt_codes.code",),
    )
    short_descriptor: str = column(
        "Short descriptor, at most 28 characters.", source="AMA file", license_id=LICENSE_CPT, nullable=True
    )
    medium_descriptor: str = column("Medium descriptor.", source="AMA file", license_id=LICENSE_CPT, nullable=True)
    long_descriptor: str = column("Long descriptor.", source="AMA file", license_id=LICENSE_CPT, nullable=True)
    consumer_descriptor: str = column(
        "Descriptor for laypeople.", source="AMA file", license_id=LICENSE_CPT, nullable=True
    )
    valid_from: pl.Date = column(
        "Day from which the descriptor is in effect; null where the files state none.",
        source="AMA file",
        license_id=LICENSE_CPT,
        nullable=True,
    )
    valid_to: pl.Date = column(
        "Last day of the code; null: the files are of one edition, and the code is in it.",
        source=DERIVED,
        license_id=LICENSE_CC0,
        nullable=True,
    )
    valid_from_basis: str = column(
        "`descriptor`: the files state the day; `not_stated`: they do not.",
        source=DERIVED,
        license_id=LICENSE_CC0,
        isin=VALID_FROM_BASES,
    )
    license_id: str = column("License of the row.", source=DERIVED, license_id=LICENSE_CC0, isin=[LICENSE_CPT])
    steward: str = column("Who maintains the code.", source=DERIVED, license_id=LICENSE_CC0, isin=["AMA"])
    redistribution: str = column(
        "`withheld`: do not redistribute without the AMA's leave.",
        source=DERIVED,
        license_id=LICENSE_CC0,
        isin=["withheld"],
    )
    source_file: str = column("First file with the code.", source=DERIVED, license_id=LICENSE_CC0)
    source_file_sha256: str = column(
        "SHA-256 of that file's bytes.", source=DERIVED, license_id=LICENSE_CC0, str_matches=SHA256
    )
    source_line: pl.Int32 = column("Line of that file, from 1.", source=DERIVED, license_id=LICENSE_CC0, ge=1)

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["code"]
