"""The browser that the catalog is looked at with: Chromium as the machine has it; none is downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Request, sync_playwright

DESKTOP, PHONE = (1280, 850), (390, 844)

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium_path() -> str | None:
    """Where the browser lies, or None."""
    return next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, without a window."""
    # Its sandbox does not work for root, as whom a CI runs.
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=arguments)
        yield browser
        browser.close()


class Window:
    """One page of the browser for many tests, which notes what must not be: to start a page costs more than to look.

    ``messages`` are what a page wrote to its console and what failed; ``outside`` the URLs asked for that are not in
    ``folder``.
    """

    def __init__(self, browser: Browser, folder: Path) -> None:
        self.inside = folder.as_uri() + "/"
        self.messages: list[str] = []
        self.outside: list[str] = []
        self.page = browser.new_context(accept_downloads=True).new_page()
        self.page.set_default_timeout(10_000)
        self.page.on("console", lambda m: self.messages.append(f"{self.page.url}: {m.text}"))
        self.page.on("pageerror", lambda error: self.messages.append(f"{self.page.url}: {error}"))
        self.page.on("requestfailed", self._failed)
        self.page.on("request", lambda r: self._asked(r.url))

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the page was left before it had all
            self.messages.append(f"{self.page.url}: no answer from {request.url}: {request.failure}")

    def _asked(self, url: str) -> None:
        if not url.startswith((self.inside, "data:", "about:")):
            self.outside.append(url)

    def open(self, address: str = "index.html", size: tuple[int, int] = DESKTOP, scheme: Any = "light") -> Page:
        """The page at this address of the folder, loaded anew."""
        self.page.goto("about:blank")  # an address that differs after its # alone would load nothing
        self.page.set_viewport_size({"width": size[0], "height": size[1]})
        self.page.emulate_media(media="null", color_scheme=scheme)
        self.page.goto(self.inside + address)
        return self.page

    def complaints(self) -> list[str]:
        """What was noted since it was asked last."""
        noted = self.messages + self.outside
        self.messages.clear()
        self.outside.clear()
        return noted
