"""The texts of HTML, SVG and feeds, joined over elements that stand within a line."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from pipeline.license_gate.as_read import is_block
from pipeline.license_gate.scripts import texts_of_script, texts_of_style
from pipeline.license_gate.text_files import Texts, texts_of_json


def texts_of_markup(content: str) -> Texts:
    """Text, comments and attributes of HTML or SVG; scripts by their strings; not the numbers of drawings."""
    reader = _Markup()
    reader.feed(content)
    reader.close()
    reader.flush()
    return iter(reader.texts)


#: Attributes that hold the numbers of a drawing or a layout.
_NUMBERS = re.compile(
    "d|points|[xy][12]?|[cdf][xy]|r[xy]?|width|height|viewbox|transform|offset|stroke-[a-z]+|font-size|[a-z]+span"
)


class _Markup(HTMLParser):
    """Text is joined over elements that stand within a line, so that none can cut a token in two."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[tuple[str, str, str]] = []
        self._pending = ""
        self._place = ""
        self._script: str | None = None

    def flush(self) -> None:
        if self._pending.strip():
            self.texts.append(("", self._place, self._pending))
        self._pending = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if is_block(tag):
            self.flush()
        if tag == "script":
            self._script = "json" if "json" in (dict(attrs).get("type") or "") else "script"
        elif tag == "style":
            self._script = "style"
        place = f"line {self.getpos()[0]}"
        for name, value in attrs:
            if value and name == "style":
                self.texts += [("@style", place, text) for _, _, text in texts_of_style(value)]
            elif value and not _NUMBERS.fullmatch(name):
                self.texts.append((f"@{name}", place, value))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self._script = None

    def handle_endtag(self, tag: str) -> None:
        if is_block(tag):
            self.flush()
        self._script = None

    def handle_comment(self, data: str) -> None:
        self.texts.append(("", f"line {self.getpos()[0]}", data))

    def handle_decl(self, decl: str) -> None:
        self.handle_comment(decl)

    def handle_pi(self, data: str) -> None:
        self.handle_comment(data)

    def unknown_decl(self, data: str) -> None:
        self.handle_data(data.removeprefix("CDATA["))

    def handle_data(self, data: str) -> None:
        place = f"line {self.getpos()[0]}"
        if self._script is not None:
            read = {"json": texts_of_json, "style": texts_of_style}.get(self._script, texts_of_script)
            self.texts += [(column, place, text) for column, _, text in read(data)]
            return
        if not self._pending:
            self._place = place
        self._pending += data
