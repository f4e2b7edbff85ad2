"""Every page of every kind of version opens in a browser: no message on its console, no request outside."""

from __future__ import annotations

from pathlib import Path

import pytest
from chromium import Window
from conftest import slow
from made_up import posting, record
from playwright.sync_api import Browser

from hcpcs.paths import Outputs
from pipeline.catalog.build import write_catalog
from pipeline.refresh.refresh import refresh

#: Frames in one page: one after the other each would cost twice the time.
_SIDE_BY_SIDE = """urls => Promise.all(urls.map((url) => new Promise((resolve) => {
    const frame = document.createElement("iframe");
    frame.onload = resolve;
    frame.src = url;
    document.body.append(frame);
})))"""


@pytest.fixture
def catalog(name: str, sample_catalog: Path, tmp_path: Path) -> Path:
    """A catalog of the sample, of one release, or of two that say the same: no change, no finding, no successor."""
    if name == "sample":
        return sample_catalog
    for release in ("2024-01", "2024-04")[: 1 if name == "one release" else 2]:
        posting(release, record("A0001"), record("RT")).write(tmp_path / "offered")
    refresh(Outputs(tmp_path / "outputs"), offered=tmp_path / "offered")
    return write_catalog(Outputs(tmp_path / "outputs")).folder


@pytest.mark.parametrize("name", ["no changes", *slow("sample", "one release")])
def test_every_page_opens_without_a_message(name: str, catalog: Path, browser: Browser, tmp_path: Path) -> None:
    window = Window(browser, catalog)
    pages = sorted(p.as_uri() for p in catalog.rglob("*.html"))
    assert len(pages) > 20
    (tmp_path / "frames.html").write_text("<!doctype html><title>Pages side by side</title>")
    for first in range(0, len(pages), 10):
        window.page.goto((tmp_path / "frames.html").as_uri())
        window.outside.clear()
        window.page.evaluate(_SIDE_BY_SIDE, pages[first : first + 10])
        opened = window.page.frames[1:]
        assert sorted(frame.url for frame in opened) == pages[first : first + 10]
        assert [frame.url for frame in opened if frame.locator("h1").count() != 1] == []
        assert window.complaints() == []
