"""What the gate found: leaks, each with its place, and the error that shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hcpcs.errors import HcpcsError

_SHOWN_LEAKS = 30


@dataclass(frozen=True, slots=True)
class Leak:
    """One place that holds what may not be published: table (or file), column, key of the row, token, and why."""

    table: str
    column: str
    key: str
    token: str
    why: str
    text: str = field(default="", repr=False)

    def __str__(self) -> str:
        place = ": ".join(part for part in (self.table, self.column, self.key) if part)
        return f"{place}: {self.token!r}: {self.why}" if self.token else f"{place}: {self.why}"


class LicenseLeak(HcpcsError):
    """A version would publish what is another owner's; ``leaks`` has every place."""

    def __init__(self, leaks: Iterable[Leak]) -> None:
        self.leaks = tuple(leaks)
        shown = [f"  {leak}" for leak in self.leaks[:_SHOWN_LEAKS]]
        if len(self.leaks) > _SHOWN_LEAKS:
            shown.append(f"  … and {len(self.leaks) - _SHOWN_LEAKS} more")
        places = f"{len(self.leaks)} place{'s' * (len(self.leaks) != 1)}"
        super().__init__(
            f"{places} would publish what may not be redistributed:\n" + "\n".join(shown) + "\n"
            "mask it, or let sources/curated/license_policy.csv keep it with a reason"
        )


@dataclass(frozen=True, slots=True)
class GateReport:
    """What the gate saw: files read, distinct values looked at, cells kept by policy row, and leaks."""

    files: int
    values: int
    kept: dict[tuple[str, str, str], int]
    leaks: tuple[Leak, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing leaks."""
        return not self.leaks
