"""Assets that are curated here or follow from the contracts: no release is in them."""

import dagster as dg

from pipeline.lineage.dictionary import dictionary
from pipeline.orchestration import asset_metadata as shown
from pipeline.orchestration.assets import checked
from schemas.registry import contracts
from sources.curated.tables import (
    load_ambulance_locations,
    load_code_families,
    load_code_lookalikes,
    load_code_sections,
    load_code_system_calendar,
    load_code_system_identifiers,
    load_code_systems,
    load_codebook,
    load_licenses,
)

REFERENCE_TABLES = {
    "code_systems": load_code_systems,
    "code_system_identifiers": load_code_system_identifiers,
    "code_system_calendar": load_code_system_calendar,
    "code_sections": load_code_sections,
    "code_families": load_code_families,
    "code_lookalikes": load_code_lookalikes,
    "ambulance_locations": load_ambulance_locations,
    "licenses": load_licenses,
    "hcpcs_codebook": load_codebook,
    "data_dictionary": dictionary,
}
_CURATED = [name for name in REFERENCE_TABLES if name != "data_dictionary"]
# The dictionary is made of every contract.
_DICTIONARY = shown.outs(
    ["data_dictionary"], "pipeline.lineage.dictionary", *(f"schemas.{table}" for table in contracts())
)


@dg.multi_asset(
    name="reference",
    outs={**shown.outs(_CURATED, "sources.curated.tables"), **_DICTIONARY},
    check_specs=[spec for table in REFERENCE_TABLES for spec in checked.contract_specs(table)],
    can_subset=True,
    **shown.derived_from_sources(REFERENCE_TABLES),
)
def reference(context: dg.AssetExecutionContext) -> checked.Results:
    """Code systems with what belongs to them, licenses, the codebook and the data dictionary."""
    for table, make in REFERENCE_TABLES.items():
        if dg.AssetKey(table) in context.selected_asset_keys:
            yield from checked.published(table, make(), output_name=table)
