"""What a code of CPT or CDT looks like in a text, and words beside one. Patterns alone."""

from __future__ import annotations

import re

# A code as a whole token, whatever its case: CMS writes some in lower case. But `1000u` counts units: a laboratory's
# own test in lower case begins with 0. An underscore ends a token, and the code set's name may stand right before it.
_SHAPE = r"[0-9]{5}|[0-9]{4}(?:[ftma]|(?-i:U))|0[0-9]{3}u|d[0-9]{4}"
TOKEN = re.compile(rf"(?<![0-9a-z])(?:cpt|cdt)?({_SHAPE})(?![0-9a-z])", re.IGNORECASE)
#: What every token has; most texts have none.
DIGIT = re.compile("[0-9]")
#: The same for polars, whose patterns cannot look around: finds every text that holds a token.
HOLDS_TOKEN = rf"(?i)(?:^|[^0-9a-z])(?:cpt|cdt)?(?:{_SHAPE})(?:[^0-9a-z]|$)"
#: Day, month and year with slashes, also CMS's misspelled ones (01/0/12019): no code is behind two numbers so.
SLASHED_DATE = re.compile(r"(?<![0-9/])[0-9]{1,2}/[0-9]{1,2}/[0-9]{1,5}(?![0-9/])")
#: What a row's ``code`` looks like where its words are not CMS's: a CPT or CDT code, a modifier of CPT.
FOREIGN_CODE = rf"(?i)^(?:(?:{_SHAPE})|[0-9][0-9a-z]|p[1-6])$"
PROSE = re.compile(r"[A-Za-z]{2,}\s+\S*[A-Za-z]{2,}")
LETTER = re.compile(r"[A-Za-z]")
