"""What OpenLineage's configuration says of our runs, read without Dagster. Nothing is written or sent here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: The namespace of jobs and tables; OPENLINEAGE_NAMESPACE sets another.
NAMESPACE = "hcpcs"


@dataclass(frozen=True, slots=True)
class OpenLineageSettings:
    """What OpenLineage's configuration says: whether to tell at all, in which namespace, whether to send as well.

    ``problem`` is what is wrong with the configuration, in words.
    """

    is_disabled: bool = False
    namespace: str = NAMESPACE
    sends: bool = False
    problem: str = ""

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> OpenLineageSettings:
        """The settings as OpenLineage's client would find them: variables, then the places of ``openlineage.yml``."""
        stated = environment.get("OPENLINEAGE_CONFIG")
        places = [Path(stated)] if stated else []
        places += [Path("openlineage.yml"), Path("~/.openlineage/openlineage.yml").expanduser()]
        by_variable = environment.get("OPENLINEAGE_URL") or any(
            name.startswith("OPENLINEAGE__TRANSPORT__") for name in environment
        )
        return cls(
            is_disabled=environment.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true",
            namespace=environment.get("OPENLINEAGE_NAMESPACE") or NAMESPACE,
            sends=bool(by_variable) or any(place.is_file() for place in places),
            problem=f"OPENLINEAGE_CONFIG names {stated}, which is not a file"
            if stated and not places[0].is_file()
            else "",
        )
