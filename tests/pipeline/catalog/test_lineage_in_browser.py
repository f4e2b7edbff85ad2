"""The page Lineage in a browser: a column's way back by mouse, keyboard, address and on a phone."""

from __future__ import annotations

from collections.abc import Callable

from chromium import PHONE
from lineage_edges import edges_to_sources
from playwright.sync_api import Page, expect

from pipeline.lineage import columns as lineage

#: A column that comes from several places by way of several tables.
TABLE, COLUMN = "hcpcs_codes", "status"


Visit = Callable[..., Page]


def lit(page: Page) -> set[str]:
    """The tables that are lit up in the graph."""
    names: list[str] = page.eval_on_selector_all("svg.graph .box.on", "boxes => boxes.map(b => b.dataset.table)")
    return set(names)


def way_of(table: str, column: str) -> set[str]:
    """The tables and sources on a column's way, as the lineage has them."""
    ends = {end for edge in edges_to_sources(table, column) for end in edge}
    return {end.table if isinstance(end, lineage.ColumnRef) else end.source for end in ends}


def test_a_chosen_column_shows_its_way_back_to_every_place(visit: Visit) -> None:
    page = visit("lineage.html")
    page.get_by_label("Table", exact=True).select_option(TABLE)
    page.get_by_label("Column", exact=True).select_option(COLUMN)
    words = page.locator("#way").inner_text()
    for place in lineage.source_fields(TABLE, COLUMN):
        assert place.field in words
    assert lit(page) == way_of(TABLE, COLUMN)
    lines = page.locator("svg.way .lines path")
    assert lines.count() == len(edges_to_sources(TABLE, COLUMN))
    assert page.url.endswith(f"#{TABLE}.{COLUMN}")


def test_hovering_a_column_shows_its_way_and_leaving_brings_the_chosen_one_back(visit: Visit) -> None:
    page = visit(f"lineage.html#{TABLE}.{COLUMN}")
    chosen = page.locator("#way code").first
    expect(chosen).to_have_text(f"{TABLE}.{COLUMN}")
    page.get_by_role("button", name="betos_code", exact=True).hover()
    expect(chosen).to_have_text(f"{TABLE}.betos_code")
    page.mouse.move(0, 0)
    expect(chosen).to_have_text(f"{TABLE}.{COLUMN}")


def test_the_way_is_found_by_keyboard_alone(visit: Visit) -> None:
    page = visit("lineage.html")
    page.get_by_label("Column", exact=True).focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    focused = page.evaluate("document.activeElement.dataset.ref")
    expect(page.locator("#way code").first).to_have_text(focused)
    page.keyboard.press("Enter")
    assert page.url.endswith(f"#{focused}")
    assert lit(page) == way_of(*focused.split("."))


def test_hovering_a_table_lights_what_it_is_made_from_and_what_is_made_from_it(visit: Visit) -> None:
    page = visit("lineage.html")
    table = next(t for t in lineage.tables() if t.group == "staged")
    page.locator(f"svg.graph [data-table={table.name}]").hover()
    expect(page.locator("svg.graph.lit")).to_have_count(1)
    seen = lit(page)
    assert set(table.inputs) <= seen
    assert {t.name for t in lineage.tables() if table.name in t.inputs} <= seen
    assert "licenses" not in seen


def test_a_table_is_one_click_away(visit: Visit) -> None:
    page = visit("lineage.html")
    page.locator("svg.graph [data-table=hcpcs_history]").click()
    expect(page.locator("h1")).to_have_text("hcpcs_history")


def test_the_way_is_shown_on_a_phone(visit: Visit) -> None:
    page = visit("lineage.html", PHONE)
    page.get_by_label("Table", exact=True).select_option("hcpcs_history")
    page.get_by_label("Column", exact=True).select_option("long_description")
    expect(page.locator("#way")).to_contain_text("CMS record, positions 12-91")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_an_address_that_names_no_column_shows_the_page_all_the_same(visit: Visit) -> None:
    page = visit("lineage.html#no_such.column")
    expect(page.locator("h1")).to_have_text("Lineage")
    assert lit(page) == set()
