"""Many pages at once: which of them hold no token, found by fewer and coarser looks than reading each."""

from __future__ import annotations

import html
import re

import polars as pl

from pipeline.license_gate.as_read import BLOCK
from pipeline.license_gate.tokens import HOLDS_TOKEN

#: Elements within a line, so that a token may run over them; those of Atom are, as all that are not known.
_INLINE = (
    "a|abbr|b|cite|code|data|em|i|kbd|label|mark|s|small|span|strong|sub|sup|time|u|var|wbr"
    "|author|category|content|entry|feed|id|name|published|rights|subtitle|updated"
)
#: A tag with attributes as our templates write them: none that a style or a script within could hide something in.
_TAG_END = r"(?:\s+[a-z][a-z0-9:-]*(?:=\"[^<>\"]*\")?)*\s*/?>"
_INLINE_TAG = rf"(?i)</?(?:{_INLINE}){_TAG_END}"
_KNOWN_TAG = rf"(?i)<!doctype html>|<\?xml [^<>?]*\?>|</?(?:{BLOCK.pattern}|{_INLINE}){_TAG_END}"
#: Entities for a mark that can neither join what is around it nor begin a tag or another entity.
_HARMLESS_ENTITY = r"&(?:#34|#39|gt);|list&lt;[a-z]+(?:64)?&gt;|&lt;([ =0-9])|&amp;([^#0-9A-Za-z&<])"
#: An ampersand with what a reader takes for the name of an entity behind it.
_AMPERSAND = re.compile(r"&amp;(#?[^\t\n\f <&#;]{0,32};?)")
#: A style that is one number, which holds no token.
_NUMBER_STYLE = r' style="[a-z-]+: [0-9]{1,4}(?:\.[0-9]{1,4})?(?:%|px|rem)"'
#: What only a reader of markup understands: other entities, characters beside ASCII and some marks, escapes, styles.
_ODD_MARKUP = r"[^ -%'-~\t\n–—‘’“”…·←→−]|%[0-9A-Fa-f]{2}|\\|\]\]|(?i:<style|style=|<script[^>]*type)"


def are_harmless(pages: pl.Series) -> pl.Series:
    """Which pages hold no token, however they are read: line by line, since pages share most lines and no token, no
    entity and no known tag goes over the end of one.
    """
    texts = pages.cast(pl.String, strict=False).fill_null("<")
    lines = texts.str.split("\n").to_frame("line").with_row_index("page").explode("line")
    distinct = lines["line"].unique()
    odd = lines.filter(pl.col("line").is_in(distinct.filter(~_are_harmless_lines(distinct)).implode()))
    return ~pl.int_range(pages.len(), eager=True).is_in(odd["page"].implode())


def _are_harmless_lines(lines: pl.Series) -> pl.Series:
    """Which lines hold no token, by fewer and coarser looks than ``texts_of_markup``.

    A line that has odd markup is not harmless. In any other a token is in the bytes, or in them without the tags
    that a text runs over; every other tag ends a text, as it does in the bytes. A line with a tag of another form, or
    with a part of one, is not harmless either.
    """
    texts = lines.str.replace_all(_NUMBER_STYLE, "").str.replace_all(_HARMLESS_ENTITY, "'${1}${2}")
    named = texts.str.contains("&amp;", literal=True)
    texts = texts.scatter(named.arg_true(), [_without_ampersands(text) for text in texts.filter(named)])
    joined = texts.str.replace_all(_INLINE_TAG, "")
    odd = [form.str.contains(rf"{_ODD_MARKUP}|{HOLDS_TOKEN}") for form in (texts, joined)]
    return ~(odd[0] | odd[1] | joined.str.replace_all(_KNOWN_TAG, "").str.contains("[<>]"))


def _without_ampersands(line: str) -> str:
    """A line with a mark in the place of each ampersand, unless one begins an entity, within a tag or over it."""
    names = {*_AMPERSAND.findall(line), *_AMPERSAND.findall(re.sub(_INLINE_TAG, "", line))}
    return line.replace("&amp;", "'") if all(html.unescape(f"&{n}") == f"&{n}" for n in names) else line
