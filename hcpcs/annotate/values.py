"""What columns of every kind have in common: whether they hold text, and which words stand for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hcpcs.errors import HcpcsError

#: Texts that stand for nothing, upper-cased and trimmed.
NULL_WORDS = ("", "NULL", "(NULL)", "NA", "N/A", "#N/A", "NAN", "NAT", "NONE", "NIL", "\\N", ".", "~", "-")


class UnusableColumn(HcpcsError):
    """A column that was named is not there, or is of a kind that holds no codes, dates or amounts."""


class MissingColumn(UnusableColumn):
    """A column that was named is not there."""

    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column = column


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_nothing(values: pa.Array, words: Sequence[str] = NULL_WORDS) -> np.ndarray:
    """Which values are null or, as text, one of ``words``."""
    if not len(values):
        return np.empty(0, bool)
    texts = values if is_text(values.type) else values.cast(pa.string())
    texts = pc.ascii_upper(pc.utf8_trim_whitespace(texts))
    found: np.ndarray = pc.is_in(texts, value_set=pa.array([*words, None], texts.type)).to_numpy(zero_copy_only=False)
    return found


def flags(values: pa.Array) -> np.ndarray:
    """Booleans, null as false."""
    found: np.ndarray = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return found


def fixed_width(values: pa.Array, kind: Any) -> np.ndarray:
    """A fixed-width array's values without a copy; what is in null places is arbitrary."""
    content = values.buffers()[1]
    if content is None:
        return np.zeros(len(values), kind)
    return np.frombuffer(content, kind)[values.offset : values.offset + len(values)]
