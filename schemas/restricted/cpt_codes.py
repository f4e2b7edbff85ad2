"""Contract of ``cpt_codes``: CPT codes with the descriptors of a licensee's files. Restricted tier only."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import CPT_CODE, LICENSE_CPT, SHA256, column, derived

VALID_FROM_BASES = ("descriptor", "not_stated")


class CptCodes(pa.DataFrameModel):
    """One row per CPT code in the licensee's files of the AMA, for their edition."""

    code: str = column("The CPT code.", source="AMA file", license_id=LICENSE_CPT, str_matches=CPT_CODE)
    code_system: str = derived("Code system by the code's format, see `code_systems`.", lineage=("cpt_codes.code",))
    category: str = derived("CPT category by the code's format.", nullable=True, lineage=("cpt_codes.code",))
    section: str = derived(
        "Section with the code on its first day, see `code_sections`.", nullable=True, lineage=("cpt_codes.code",)
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
    valid_to: pl.Date = derived(
        "Last day of the code; null: the files are of one edition, and the code is in it.", nullable=True
    )
    valid_from_basis: str = derived(
        "`descriptor`: the files state the day; `not_stated`: they do not.", isin=VALID_FROM_BASES
    )
    license_id: str = derived("License of the row.", isin=[LICENSE_CPT])
    steward: str = derived("Who maintains the code.", isin=["AMA"])
    redistribution: str = derived("`withheld`: do not redistribute without the AMA's leave.", isin=["withheld"])
    source_file: str = derived("First file with the code.")
    source_file_sha256: str = derived("SHA-256 of that file's bytes.", str_matches=SHA256)
    source_line: pl.Int32 = derived("Line of that file, from 1.", ge=1)

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["code"]
