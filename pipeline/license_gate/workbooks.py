"""The texts of the parts of an Excel workbook, beside those of its sheets as tables."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from xml.etree import ElementTree

#: The texts of all cells of a workbook, which are looked at again in their columns.
SHARED_TEXTS = "shared texts"
#: The part of a workbook that has the texts of its cells.
SHARED_PART = "xl/sharedStrings.xml"
#: Cells as formulas and names point to them: `$A$1:$F$12000` holds no code.
_CELL_REFERENCE = re.compile(r"\$?[A-Z]{1,3}\$?[0-9]+(?![0-9A-Za-z])")
#: Attributes of a workbook's parts that point to cells: `D1000` is a place there.
_CELL_ATTRIBUTES = ("r", "ref", "sqref", "activeCell", "topLeftCell")


def texts_of_workbook_part(content: bytes) -> Iterator[tuple[str, str]]:
    """Texts and attributes of one part of a workbook, with the cell they are in; not its numbers."""
    cell, is_text = "", False
    runs: list[str] = []
    for event, element in ElementTree.iterparse(io.BytesIO(content), events=("start", "end")):
        tag = element.tag.rpartition("}")[2]
        if event == "start":
            if tag == "c":
                cell, is_text = element.get("r", ""), element.get("t") in ("str", "inlineStr")
            for name, value in element.attrib.items():
                value = _CELL_REFERENCE.sub("", value) if name in _CELL_ATTRIBUTES else value
                if not re.fullmatch(r"[-0-9.: ]*", value):
                    yield cell, value
        elif tag in ("si", "is"):
            # Runs of one text: no change of font cuts a token in two.
            yield cell, "".join(runs)
            runs.clear()
        elif tag == "t":
            runs.append(element.text or "")
        elif element.text and (tag != "v" or is_text):
            yield cell, _CELL_REFERENCE.sub("", element.text) if tag in ("f", "definedName") else element.text
        if event == "end" and tag in ("row", "si"):
            element.clear()
    yield cell, "".join(runs)
