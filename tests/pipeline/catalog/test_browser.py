"""The catalog in a real browser, opened from disk: search, keyboard, phone, print, contrast, no request outside."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import polars as pl
import pytest
from axe_playwright_python.sync_playwright import Axe
from chromium import DESKTOP, PHONE, Window
from conftest import REPOSITORY, Version
from playwright.sync_api import Browser, Locator, Page, expect
from screenshots import IMAGES, MOST_BYTES, take_pictures

SERIOUS = {"serious", "critical"}
#: Where pictures of all pages go, for a person to look at; git ignores it.
PICTURES = Path(os.environ.get("HCPCS_SCREENSHOTS", REPOSITORY / "outputs" / "screenshots"))
# A link of SVG has its address in another form.
_PAPER = "getComputedStyle(document.body).backgroundColor"
_WHERE_LINKS_LEAD = "all => all.map((a) => new URL(a.getAttribute('href'), document.baseURI).href)"

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def reused(sample: Version) -> str:
    """A code that CMS used again, and whose latest episode was reworded or set anew."""
    spans = sample.open("hcpcs_history").filter(pl.col("kind") == "procedure")
    histories = (
        spans.group_by("code").agg(pl.col("episode").max(), pl.len().alias("spans")).filter(pl.col("episode") > 1)
    )
    return str(histories.sort(["spans", "code"], descending=[True, False])["code"][0])


@pytest.fixture(scope="module")
def reworded(sample: Version) -> str:
    """A code whose long description changed within one episode."""
    wordings = (
        sample.open("hcpcs_history")
        .filter(pl.col("kind") == "procedure")
        .group_by("code", "episode")
        .agg(pl.col("long_description").str.to_lowercase().n_unique().alias("wordings"))
    )
    return str(wordings.filter(pl.col("wordings") > 1).sort("code")["code"][0])


@pytest.fixture(scope="module")
def replaced(sample: Version) -> tuple[str, str]:
    """A code and the one that replaced it."""
    rows = sample.open("hcpcs_crosswalk").filter(
        (pl.col("relation") == "replaced_by") & pl.col("target").is_not_null() & pl.col("target_episode").is_not_null()
    )
    return rows.sort("code").select("code", "target").row(0)


@pytest.fixture(scope="module")
def addresses(sample_catalog: Path, reused: str) -> list[str]:
    """Every kind of page: those at the top, one of each folder, and the states of the page of codes."""
    top = sorted(p.name for p in sample_catalog.glob("*.html"))
    inner = [sorted(f.glob("*.html")) for f in sorted(sample_catalog.iterdir()) if f.is_dir()]
    # The last of a folder: the first release has nothing to be compared with.
    others = [pages[-1].relative_to(sample_catalog).as_posix() for pages in inner if pages]
    others += [p.relative_to(sample_catalog).as_posix() for p in sample_catalog.glob("*/hcpcs_history.html")]
    states = [
        f"codes.html#{reused}",
        "codes.html#P1",
        "codes.html#q=sample",
        "codes.html#q=nothingatall",
        "codes.html#in=J",
    ]
    assert len(top) >= 6 and len(others) >= 3
    return [*top, *others, *states]


def heading(page: Page, code: str) -> Locator:
    return page.locator("h2.code", has_text=code)


def ready(page: Page) -> Page:
    """Wait until the page has loaded what it asks for later: the history of a code."""
    if "codes.html#" in page.url and "=" not in page.url:
        page.locator("h2.code").wait_for()
    return page


@dataclass(frozen=True)
class Look:
    """What one look at a page saw: on a desktop by day with its links, or on a phone."""

    address: str
    size: tuple[int, int]
    seconds: float
    width: int
    paper: str
    paper_in_the_dark: str
    links: list[str]


def violations(page: Page, rules: list[str] | None = None) -> list[str]:
    """What is serious by the rules of axe (None: all of them), with all that folds unfolded."""
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    # Without `preload` axe would ask for the style sheets again, which a file may not.
    options: dict[str, Any] = {"resultTypes": ["violations"], "preload": False}
    if rules is not None:
        options["runOnly"] = rules
    found = Axe().run(page, options=options).response["violations"]
    return [f"{v['id']}: {[n['html'][:150] for n in v['nodes'][:3]]}" for v in found if v["impact"] in SERIOUS]


def look(window: Window, address: str, size: tuple[int, int]) -> Look:
    """One look, with a picture."""
    started = time.perf_counter()
    page = window.open(address, size)
    page.locator("h1").wait_for()
    seconds = time.perf_counter() - started
    ready(page)
    name = address.replace(".html", "").replace("/", "-").replace("#", "-").replace("=", "-")
    page.screenshot(path=PICTURES / f"{name}-{size[0]}.jpeg", quality=60, full_page=size == DESKTOP)
    width, paper = page.evaluate("document.documentElement.scrollWidth"), page.evaluate(_PAPER)
    page.emulate_media(color_scheme="dark")
    return Look(
        address,
        size,
        round(seconds, 3),
        width,
        paper,
        page.evaluate(_PAPER),
        page.eval_on_selector_all("a[href]", _WHERE_LINKS_LEAD) if size == DESKTOP else [],
    )


@pytest.fixture(scope="module")
def looks(window: Window, addresses: list[str]) -> list[Look]:
    """Every kind of page on a desktop and on a phone."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    return [look(window, address, size) for address in addresses for size in (DESKTOP, PHONE)]


def violations_at(addresses: list[str], visit: Visit, size: tuple[int, int], scheme: str) -> dict[str, list[str]]:
    # Colors are all that differs in the dark.
    rules = ["color-contrast"] if scheme == "dark" else None
    found = {address: violations(ready(visit(address, size, scheme)), rules) for address in addresses}
    return {address: some for address, some in found.items() if some}


def test_start_page_and_a_code_have_no_serious_accessibility_finding(visit: Visit, reused: str) -> None:
    assert violations_at(["index.html", f"codes.html#{reused}"], visit, DESKTOP, "light") == {}


@pytest.mark.slow
@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light"), (PHONE, "dark")])
def test_no_page_has_a_serious_accessibility_finding(
    size: tuple[int, int], scheme: str, visit: Visit, addresses: list[str]
) -> None:
    assert violations_at(addresses, visit, size, scheme) == {}


def test_no_page_is_wider_than_its_screen(looks: list[Look]) -> None:
    assert {(x.address, x.size): x.width for x in looks if x.width > x.size[0]} == {}


def test_pages_are_dark_where_that_is_wished(looks: list[Look]) -> None:
    white = "rgb(255, 255, 255)"
    assert {x.paper for x in looks} == {white}
    assert [x for x in looks if x.paper_in_the_dark == white] == []


def test_every_link_leads_to_a_file_that_is_there(looks: list[Look]) -> None:
    links = {(x.address, link) for x in looks for link in x.links if link.startswith("file:")}
    assert len(links) > 100
    broken = [(a, link) for a, link in links if not Path(unquote(urlsplit(link).path)).is_file()]
    assert broken == []


def test_the_first_view_is_there_at_once(looks: list[Look]) -> None:
    seconds = {x.address: x.seconds for x in looks if x.size == DESKTOP}
    (PICTURES / "first-view-seconds.json").write_text(json.dumps(seconds, indent=1) + "\n", "utf-8")
    # A second is what is promised; a machine under load gets more.
    assert max(seconds.values()) < 5, seconds


def test_the_pages_are_linked_from_every_page(visit: Visit) -> None:
    page = visit()
    labels = page.locator("header nav a").all_text_contents()
    assert len(labels) >= 7
    for label in labels:
        page.locator("header nav").get_by_role("link", name=label, exact=True).click()
        expect(page.locator("header nav a[aria-current=page]")).to_have_text(label)
        expect(page.locator("h1")).to_be_visible()


def test_a_code_is_found_as_it_is_typed(visit: Visit, reused: str) -> None:
    page = visit("codes.html")
    page.get_by_label("Code, list of codes, or words").press_sequentially(reused[:4].lower())
    expect(page.locator("#matches a").first).to_contain_text(reused[:4])
    page.get_by_label("Code, list of codes, or words").fill(reused)
    expect(page.locator("#state")).to_have_text("1 match")
    page.locator("#matches a").first.click()
    expect(heading(page, reused)).to_be_focused()
    assert page.url.endswith(f"#{reused}") and reused in page.title()


def test_words_are_found_as_they_begin_in_any_order_and_in_earlier_wordings(visit: Visit, sample: Version) -> None:
    history = sample.open("hcpcs_history").filter(pl.col("kind") == "procedure")
    gone = history.filter(pl.col("episode") == 1).join(history.filter(pl.col("episode") == 2), on="code", how="semi")
    code, old = gone.sort("code", "span_number").select("code", "long_description").row(0)
    newest = history.filter(pl.col("code") == code).sort("episode", "span_number")["long_description"][-1].lower()
    word = max((w for w in old.lower().replace(",", " ").split() if w.isalpha() and w not in newest), key=len)
    page = visit("codes.html")
    page.get_by_label("Code, list of codes, or words").fill(f"{word} sampl")
    found = page.locator("#matches li", has=page.locator(f"a[href='#{code}']"))
    expect(found).to_contain_text("in an earlier wording")


def test_what_is_not_found_says_so_and_helps(visit: Visit) -> None:
    page = visit("codes.html")
    page.get_by_label("Code, list of codes, or words").fill("nothingatall")
    expect(page.locator("#state")).to_contain_text("Nothing fits")
    expect(page.locator("#state li").first).to_be_visible()
    expect(page.locator("#matches")).to_be_hidden()
    # Put together from parts: the number of another owner's code is no business of this file.
    page.get_by_label("Code, list of codes, or words").fill("9" * 5)
    expect(page.locator("#state")).to_contain_text("It belongs to the AMA")


def test_the_status_narrows_the_matches(visit: Visit, sample: Version) -> None:
    codes = sample.open("hcpcs_codes").filter(pl.col("is_current_episode") & pl.col("code").str.starts_with("J"))
    page = visit("codes.html#in=J")
    expect(page.locator("#matches li")).to_have_count(codes.height)
    page.get_by_label("Status").select_option("ended or purged")
    expect(page.locator("#matches li")).to_have_count(codes.filter(pl.col("status") != "active").height)


def test_the_search_works_by_keyboard_alone(visit: Visit, reused: str) -> None:
    page = visit("codes.html")

    def tab_to(target: Locator) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if target.evaluate("(e) => e === document.activeElement"):
                return
        raise AssertionError(f"forty times Tab do not reach {target}")

    tab_to(page.locator("#words"))
    page.keyboard.type("sample")
    expect(page.locator("#matches a").nth(2)).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#matches a").nth(1)).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#words")).to_be_focused()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type(reused)
    page.keyboard.press("Enter")
    expect(heading(page, reused)).to_be_focused()
    summary = page.locator(".code-history summary").first
    tab_to(summary)
    page.keyboard.press("Enter")
    expect(page.locator(".code-history details").first).to_have_attribute("open", "")
    page.keyboard.press("Alt+ArrowLeft")
    expect(page.locator("#words")).to_have_value(reused)


def test_the_first_tab_leads_past_the_navigation(visit: Visit) -> None:
    page = visit("codes.html")
    page.keyboard.press("Tab")
    expect(page.locator("a.skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_a_life_shows_every_meaning_with_its_days(visit: Visit, sample: Version, reused: str) -> None:
    page = visit(f"codes.html#{reused}")
    spans = sample.open("hcpcs_history").filter(code=reused)
    expect(page.locator("ol.spans > li")).to_have_count(spans.height)
    expect(page.locator(".timeline-of-code .lane .name", has_text="Episode")).to_have_count(spans["episode"].n_unique())
    text = page.locator(".code-history").inner_text()
    for day in [d for column in ("valid_from", "valid_to") for d in spans[column].drop_nulls()]:
        assert day.isoformat() in text


def test_what_changed_in_a_wording_is_marked_and_said(visit: Visit, reworded: str) -> None:
    page = visit(f"codes.html#{reworded}")
    marked = page.locator(".spans .wording ins, .spans .wording del")
    expect(marked.first).to_be_attached()
    assert all(text.startswith(("[added: ", "[removed: ")) for text in marked.all_text_contents())
    lines = marked.evaluate_all("all => all.map((e) => getComputedStyle(e).textDecorationLine)")
    assert set(lines) <= {"underline", "line-through"} and lines


def test_a_wording_that_differs_in_form_alone_marks_nothing(visit: Visit) -> None:
    page = visit("codes.html")
    kinds = page.evaluate(
        "window.hcpcs.wordingRuns('SAMPLE: ROD, 0.5 MG  (EACH)', 'Sample rod 0.5 mg each').map((run) => run.kind)"
    )
    assert kinds == ["same"]
    moved = page.evaluate("window.hcpcs.wordingRuns('rod of 0.5 mg', 'rod of 5 mg each')")
    assert [(run["kind"], run["words"]) for run in moved] == [
        ("same", ["rod", "of"]),
        ("removed", ["0.5"]),
        ("added", ["5"]),
        ("same", ["mg"]),
        ("added", ["each"]),
    ]


def test_a_successor_is_one_click_away_and_leads_back(visit: Visit, replaced: tuple[str, str]) -> None:
    old, new = replaced
    page = visit(f"codes.html#{old}")
    page.locator(".code-history section", has_text="Where CMS says it leads").get_by_role(
        "link", name=new
    ).first.click()
    expect(heading(page, new)).to_be_focused()
    page.locator(".code-history section", has_text="What leads here").get_by_role("link", name=old).click()
    expect(heading(page, old)).to_be_focused()


def test_every_code_and_modifier_is_reachable(visit: Visit, sample: Version) -> None:
    page = visit("codes.html")
    history = sample.open("hcpcs_history")
    for code, spans in history.group_by("code").agg(pl.len()).sort("code").iter_rows():
        page.evaluate(f"location.hash = '{code}'")
        expect(heading(page, code)).to_be_visible()
        expect(page.locator("ol.spans > li")).to_have_count(spans)


def test_withheld_text_is_said_to_be_withheld(visit: Visit, sample: Version) -> None:
    withheld = sample.open("hcpcs_modifiers").filter(redistribution="withheld")
    assert withheld.height
    page = visit("codes.html")
    for code in withheld["code"]:
        page.evaluate(f"location.hash = '{code}'")
        expect(heading(page, code)).to_have_text(code)
        expect(page.locator(".code-history")).to_contain_text("The text is withheld")


def test_the_lineage_leads_to_the_tables(visit: Visit) -> None:
    page = visit("lineage.html")
    link = page.locator("main svg a[href*='tables/hcpcs_history']").first
    link.click()
    expect(page.locator("h1")).to_contain_text("hcpcs_history")
    page.locator("main a[href*='lineage.html#']").first.click()
    expect(page.locator("h1")).to_have_text("Lineage")


def test_the_numbers_of_a_release_lead_to_their_rows(visit: Visit, sample: Version) -> None:
    changes = sample.open("hcpcs_changes").filter(pl.col("change") == "reused")
    release = changes["release_id"].max()
    of_release = changes.filter(release_id=release)
    page = visit("releases.html")
    number = page.get_by_role("link", name=f"re-used in {release}")
    expect(number).to_have_text(str(of_release["code"].n_unique()))
    number.click()
    expect(page.locator("#changes tbody tr")).to_have_count(of_release.height)
    assert set(page.locator("#changes tbody tr td:first-child").all_inner_texts()) == set(of_release["code"])
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("#changes .shown")).to_have_text(
        f"{sample.open('hcpcs_changes').filter(release_id=release).height} changes"
    )


def test_findings_are_filtered_searched_and_sorted(visit: Visit, sample: Version) -> None:
    findings = sample.open("hcpcs_findings")
    page = visit("findings.html")
    rows = page.locator("#findings tbody tr")
    expect(page.locator("#findings .shown")).to_have_text(f"{findings.height} findings")
    page.locator("#findings select[name=severity]").select_option("warning")
    warnings = findings.filter(severity="warning")
    expect(rows).to_have_count(warnings.height)
    page.locator("#findings select[name=kind]").select_option(warnings["finding"][0])
    expect(rows).to_have_count(warnings.filter(finding=warnings["finding"][0]).height)
    assert "severity=warning" in page.url
    page.get_by_role("button", name="Show all").click()
    expect(rows).to_have_count(min(50, findings.height))
    page.locator("#findings").get_by_role("button", name="Places").click()
    page.locator("#findings").get_by_role("button", name="Places").click()
    shown = [int(text.replace(",", "")) for text in page.locator("#findings tbody td:last-child").all_inner_texts()]
    assert shown == sorted(findings["occurrences"], reverse=True)[:50]
    page.get_by_label("Words or code").fill("no such words at all")
    expect(page.locator("#findings .shown")).to_contain_text("None of the")


def test_a_release_of_the_address_is_chosen_in_the_findings(visit: Visit, sample: Version) -> None:
    release, number = sample.open("hcpcs_findings").group_by("release_id").len().sort("release_id").row(0)
    page = visit(f"findings.html#release={release}")
    expect(page.locator("#findings tbody tr")).to_have_count(number)


def test_tables_sort_by_their_headings(visit: Visit, sample: Version) -> None:
    page = visit("releases.html")
    oldest_first = sorted(sample.open("hcpcs_releases")["release_id"].unique())
    column = page.locator("main table").first.locator("tbody th")
    page.get_by_role("button", name="Release").click()
    assert [text.split()[0] for text in column.all_inner_texts()] == oldest_first
    page.get_by_role("button", name="Release").press("Enter")
    assert [text.split()[0] for text in column.all_inner_texts()] == oldest_first[::-1]


def test_print_leaves_out_what_only_a_screen_needs(visit: Visit, reused: str) -> None:
    page = ready(visit(f"codes.html#{reused}", scheme="dark"))
    page.emulate_media(media="print", color_scheme="dark")
    for hidden in ("header nav", "#search", "footer.site"):
        expect(page.locator(hidden)).to_be_hidden()
    expect(heading(page, reused)).to_be_visible()
    paper = page.locator(".timeline-of-code .track").first.evaluate("(e) => getComputedStyle(e).backgroundColor")
    assert paper == "rgb(246, 247, 249)"  # by day, whatever the screen has
    assert page.pdf().startswith(b"%PDF")


def test_the_pictures_of_the_readme_are_small(browser: Browser, sample_catalog: Path, tmp_path: Path) -> None:
    taken = take_pictures(browser, sample_catalog, tmp_path)
    kept = sorted(IMAGES.glob("catalog-*.png"))
    assert [p.name for p in kept] == sorted(p.name for p in taken)
    assert all(5_000 < p.stat().st_size < MOST_BYTES for p in (*taken, *kept))
