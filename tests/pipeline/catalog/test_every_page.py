"""Every page of every kind of version opens in a browser: no message on its console, no request outside."""

from __future__ import annotations

from pathlib import Path

import pytest
from chromium import Window
from made_up import posting, record
from playwright.sync_api import Browser

from hcpcs.paths import Outputs
from pipeline.catalog.build import write_catalog
from pipeline.refresh.refresh import refresh


@pytest.fixture(scope="module")
def catalogs(sample_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Catalogs of the sample, of one release, and of two that say the same: no change, no finding, no successor."""
    made = {"sample": sample_catalog}
    postings = [posting(release, record("A0001"), record("RT")) for release in ("2024-01", "2024-04")]
    for name, some in (("one release", postings[:1]), ("no changes", postings)):
        offered = tmp_path_factory.mktemp("offered")
        for one in some:
            one.write(offered)
        outputs = Outputs(tmp_path_factory.mktemp("outputs"))
        refresh(outputs, offered=offered)
        made[name] = write_catalog(outputs).folder
    return made


@pytest.mark.parametrize("name", ["sample", "one release", "no changes"])
def test_every_page_opens_without_a_message(name: str, catalogs: dict[str, Path], browser: Browser) -> None:
    catalog = catalogs[name]
    window = Window(browser, catalog)
    pages = sorted(p.relative_to(catalog).as_posix() for p in catalog.rglob("*.html"))
    assert len(pages) > 20
    for path in pages:
        window.page.goto(window.inside + path)
        assert window.page.locator("h1").count() == 1, path
    assert window.complaints() == []
