"""CMS's record layout: which field stands where in the text, and under which headings in the workbook.

Source: the record layout files that CMS packs with its releases (the same positions from 2010 to 2025).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

RECORD_LENGTH = 320
#: The last position that carries a field; a first line that ends before it is cut.
LAST_FIELD_POSITION = 293
#: Position of the record id, from 1.
RECORD_ID_POSITION = 11

FIRST_LINE_KINDS = {"3": "procedure", "7": "modifier"}
CONTINUATION_KINDS = {"4": "procedure", "8": "modifier"}

FieldType = Literal["text", "date", "integer", "list"]

#: What a spreadsheet makes of `00`, `11` or `30-1`: `0`, `11.0`, a day in any of its forms, or a power of ten.
_WHOLE_NUMBER = re.compile(r"(\d+)(?:\.0+)?")
DAY_OR_POWER = (
    r"\d{4}-\d\d-\d\d(?:[ T].*)?|\d{1,2}/\d{1,2}/\d{2,4}|\d{1,2}-[A-Z][a-z]{2}(?:-\d+)?|[A-Z][a-z]{2}-\d\d"
    r"|\d(?:\.\d+)?E[+-]\d+"
)
_DAY_OR_POWER = re.compile(DAY_OR_POWER)
#: A cross-reference names a code of five characters or a modifier of two.
_FEWEST_DIGITS = {"crosswalk_targets": 3}


@dataclass(frozen=True, slots=True)
class RecordField:
    """A field of the record: ``start`` is 1-based, ``times`` × ``width`` characters, ``headings`` those of workbooks.

    Headings are compared without case, spaces and punctuation; a repeated field's carry a number (``PRICE1``).
    """

    name: str
    type: FieldType
    start: int
    width: int
    headings: tuple[str, ...]
    times: int = 1

    @property
    def positions(self) -> str:
        """The field's place in the record, as CMS's layout file writes it."""
        end = self.start + self.width * self.times - 1
        return str(self.start) if end == self.start else f"{self.start}-{end}"

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the single cells: the field itself, or ``name_1`` … of a repeated one."""
        return (self.name,) if self.times == 1 else tuple(f"{self.name}_{n}" for n in range(1, self.times + 1))

    def as_cms_writes(self, value: str) -> str | None:
        """The value as CMS writes it where a spreadsheet has taken it for a number: with all its digits.

        None for a day or a power of ten, of which nothing states what it was; any other value as it is.
        """
        if _DAY_OR_POWER.fullmatch(value):
            return None
        number = _WHOLE_NUMBER.fullmatch(value)
        if number is None or not _FEWEST_DIGITS.get(self.name, 1) <= len(number[1]) <= self.width:
            return value
        return number[1].zfill(self.width) if self.name in CODE_FORMS else value

    def slices(self) -> list[tuple[str, int, int]]:
        """Name, zero-based offset and width of every cell in the text line."""
        return [(part, self.start - 1 + i * self.width, self.width) for i, part in enumerate(self.parts)]


RECORD_FIELDS: tuple[RecordField, ...] = (
    RecordField("long_description", "text", 12, 80, ("LONGDESCRIPTION",)),
    RecordField("short_description", "text", 92, 28, ("SHORTDESCRIPTION",)),
    RecordField("pricing_indicators", "list", 120, 2, ("PRICE", "PI"), times=4),
    RecordField("multiple_pricing_code", "text", 128, 1, ("MULTPI", "MPI")),
    RecordField("coverage_manual_refs", "list", 129, 6, ("CIM",), times=3),
    RecordField("carriers_manual_refs", "list", 147, 8, ("MCM",), times=3),
    RecordField("statute_ref", "text", 171, 10, ("STATUTE",)),
    RecordField("lab_certification_codes", "list", 181, 3, ("LABCERT",), times=8),
    RecordField("crosswalk_targets", "list", 205, 5, ("XREF",), times=5),
    RecordField("coverage_code", "text", 230, 1, ("COV", "COVERAGE")),
    RecordField("asc_group", "text", 231, 2, ("ASCGRP", "ASCPAYGRP")),
    RecordField("asc_date", "date", 233, 8, ("ASCDT", "ASCPAYGRPEFFDATE")),
    RecordField("opps_group", "text", 241, 3, ("OPPS", "MOGPAYGRP")),
    RecordField("opps_policy_code", "text", 244, 1, ("OPPSPI", "MOGPAYIND")),
    RecordField("opps_date", "date", 245, 8, ("OPPSDT", "MOGEFFDATE")),
    RecordField("processing_note", "text", 253, 4, ("PROCNOTE",)),
    RecordField("betos_code", "text", 257, 3, ("BETOS",)),
    RecordField("type_of_service_codes", "list", 261, 1, ("TOS",), times=5),
    RecordField("anesthesia_base_units", "integer", 266, 3, ("ANESTBU", "ANESTBASEUNITS")),
    RecordField("added_date", "date", 269, 8, ("ADDDT", "CODEADDDATE")),
    RecordField("action_effective_date", "date", 277, 8, ("ACTEFFDT", "ACTIONEFFDATE")),
    RecordField("termination_date", "date", 285, 8, ("TERMDT", "TERMDATE")),
    RecordField("action_code", "text", 293, 1, ("ACTIONCD", "ACTIONCODE")),
)

#: Fields of codes, each with the form of its values. CMS writes a number with all its digits (`00`, `0069`): 109,000
#: pricing indicators and 12,000 notes of 2011 to 2025, without exception.
CODE_FORMS = {
    f.name: {"betos_code": "[A-Z0-9]{2,3}", "crosswalk_targets": "[A-Z0-9]{2}|[A-Z]{3}|[A-Z0-9]{5}"}.get(
        f.name, f"[A-Z0-9]{{{f.width}}}"
    )
    for f in RECORD_FIELDS
    if f.type in ("text", "list") and f.width <= 5
}

#: The fields that nearly every record has for itself, and those that many records have alike.
TEXT_FIELDS = tuple(f for f in RECORD_FIELDS if f.name.endswith("_description"))
CODED_FIELDS = tuple(f for f in RECORD_FIELDS if f not in TEXT_FIELDS)

#: Headings of the columns that are not fields: the code, the sequence number, the record id.
CODE_HEADINGS = ("HCPC", "HCPCS", "HCPCSCODE")
SEQUENCE_HEADINGS = ("SEQNUM",)
RECORD_ID_HEADINGS = ("RECID", "RIC")
IGNORED_HEADINGS = ("FILLER",)

#: Fields without which a workbook is no code file.
REQUIRED_FIELDS = ("long_description", "short_description", "added_date", "termination_date", "action_code")


def normalized_heading(cell: str | None) -> str:
    """A heading without case, spaces and punctuation."""
    return "".join(c for c in (cell or "").upper() if c.isalnum())
