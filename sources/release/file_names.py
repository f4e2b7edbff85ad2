"""What a file is by the words of its name or of a link to it. Which release it is of, ``names`` decides."""

from __future__ import annotations

import re
from typing import Literal

#: Side files that become tables, and the record layout. `\\b` does not end at an underscore, which CMS uses.
_SIDE = re.compile(
    r"correct|(?<![a-z])noc(?![a-z])|unlisted|not[- _]otherwise|layout|trans(action)?[-_ ]?report|transaction"
    r"|proc(essing)?[-_ ]?notes|changes[-_ ]*by[-_ ]*(action|hcpc)"
)
_CODE_FILE = re.compile(r"anweb|alpha[-_ ]?numeric[-_ ]*hcpcs[-_ ]*files?|hcpcs[-_ ]*alpha[-_ ]?numeric[-_ ]*files?")
_OTHER_NAMES = re.compile(r"drug|dmepos|index|betos|fee[-_ ]?schedule|summar|decision|agenda|application")
_HCPCS_NAMES = re.compile(r"hcpc|alpha[-_ ]?numeric|anweb")
#: ``HCPC2013_A-N.txt``
_SHORT_CODE_FILE = re.compile(r"(?<![a-z])a-n(?![a-z])")


def file_kind(words: str) -> Literal["release", "side", "other"] | None:
    """What a file is by its name, or by a link's text; None where that leaves it open."""
    words = words.lower()
    if _OTHER_NAMES.search(words):
        return "other"
    if _SIDE.search(words):
        return "side"
    return "release" if _CODE_FILE.search(words) else None


def mentions_hcpcs(words: str) -> bool:
    """Whether words name HCPCS or its code file, whatever kind of file they are of."""
    return _HCPCS_NAMES.search(words.lower()) is not None


def is_named_like_hcpcs(name: str) -> bool:
    """Whether a file has a name of those that CMS gives to the members of a release."""
    low = name.lower()
    return any(pattern.search(low) for pattern in (_HCPCS_NAMES, _SIDE, _SHORT_CODE_FILE))
