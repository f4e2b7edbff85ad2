"""Makes the README's pictures of the catalog, docs/images/catalog-*.png, from the bundled sample alone.

Run it from the repository's top, where a Chromium is installed: `.venv/bin/python tests/screenshots.py`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from chromium import chromium, chromium_path
from PIL import Image
from playwright.sync_api import Browser

from hcpcs.paths import Outputs
from pipeline.catalog.build import write_catalog
from pipeline.refresh.refresh import refresh
from sources.sample import SAMPLE_FOLDER

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
#: Picture, page, height in pixels. The code is one that the sample uses again with another meaning.
PICTURES = (("catalog-code", "codes.html#J0570", 940), ("catalog-lineage", "lineage.html", 760))
#: So that the README stays quick to load.
MOST_BYTES = 150_000
_COLORS = 128


def main() -> None:
    """Publish the sample in a folder of its own, write its catalog, and take the pictures."""
    if chromium_path() is None:
        raise SystemExit("there is no Chromium on this machine")
    with tempfile.TemporaryDirectory() as folder:
        outputs = Outputs(Path(folder) / "outputs")
        refresh(outputs, offered=SAMPLE_FOLDER)
        catalog = write_catalog(outputs).folder
        with chromium() as browser:
            take_pictures(browser, catalog, IMAGES)


def take_pictures(browser: Browser, catalog: Path, images: Path) -> list[Path]:
    """Take ``PICTURES`` of ``catalog`` into ``images``; returns their paths."""
    images.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, address, height in PICTURES:
        page = browser.new_page(viewport={"width": 1200, "height": height}, color_scheme="light")
        page.goto(f"{catalog.as_uri()}/{address}")
        page.locator("main .timeline-of-code, main svg").first.wait_for()
        paths.append(images / f"{name}.png")
        page.screenshot(path=paths[-1])
        page.close()
        # Few colors are enough for a page, and a third of the bytes.
        with Image.open(paths[-1]) as picture:
            few = picture.convert("RGB").quantize(_COLORS)
        few.save(paths[-1], optimize=True)
    return paths


if __name__ == "__main__":
    main()
