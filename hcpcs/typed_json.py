"""JSON that this program wrote, read as the typed records that it wrote it from. What a file means is its module's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hcpcs.errors import HcpcsError

_MISSING = object()
_type_hints = cache(get_type_hints)


class Untyped(HcpcsError):
    """A value is of another type than this program writes; the message names its place."""


def read_typed(kind: Any, raw: Any, path: str) -> Any:
    """The value of a dataclass, list or other type that JSON holds; ``path`` names it in messages.

    What may be None, a tuple or a mapping is empty where an older program did not write it; names that the dataclass
    does not have are passed over. Raises ``Untyped``.
    """
    if isinstance(kind, type) and is_dataclass(kind):
        if not isinstance(raw, dict):
            raise Untyped(f"`{path}` is not an object")
        fields = _type_hints(kind).items()
        return kind(**{name: read_typed(of, raw.get(name, _unwritten(of)), f"{path}.{name}") for name, of in fields})
    form, parts = get_origin(kind), get_args(kind)
    if form is UnionType:
        return None if raw is None else read_typed(next(p for p in parts if p is not NoneType), raw, path)
    if form is tuple and isinstance(raw, list):
        return tuple(read_typed(parts[0], item, f"{path}[{number}]") for number, item in enumerate(raw))
    if form in (dict, Mapping) and isinstance(raw, dict):
        return {name: read_typed(parts[1], value, f"{path}.{name}") for name, value in raw.items()}
    # By `type`: a bool is an int to Python alone.
    if kind is Any or type(raw) is kind or (form is Literal and raw in parts):
        return raw
    raise Untyped(f"`{path}` is {'missing' if raw is _MISSING else 'of another type'}")


def _unwritten(kind: Any) -> object:
    return {UnionType: None, tuple: [], dict: {}, Mapping: {}}.get(get_origin(kind), _MISSING)
