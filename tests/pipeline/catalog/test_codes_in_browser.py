"""The page of codes as people use it: a day, a pasted list, typos, codes of other owners, plain pages, rows."""

from __future__ import annotations

import csv
import datetime as dt
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from conftest import Version
from playwright.sync_api import Browser, Page, expect

from hcpcs.check import check_codes
from hcpcs.paths import Outputs
from pipeline.catalog.build import write_catalog
from pipeline.lineage.provenance import raw_lines

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def broken(sample: Version) -> tuple[str, dt.date, dt.date]:
    """A code that ended and came back with the same meaning: code, last day before the break, first day after it."""
    spans = sample.open("hcpcs_history").filter(kind="procedure").sort("code", "episode", "span_number")
    after = spans.with_columns(back=pl.col("valid_from").shift(-1).over("code", "episode")).filter(
        pl.col("back") > pl.col("valid_to") + pl.duration(days=1)
    )
    assert after.height, "the sample has a code with a break"
    return after.select("code", "valid_to", "back").row(0)


def rows_of(page: Page) -> list[list[str]]:
    return [[c.inner_text() for c in row.locator("td").all()] for row in page.locator("#list tbody tr").all()]


def test_each_break_in_the_days_of_a_code_is_named(visit: Visit, broken: tuple[str, dt.date, dt.date]) -> None:
    code, last, back = broken
    first_off, last_off = last + dt.timedelta(days=1), back - dt.timedelta(days=1)
    page = visit(f"codes.html#{code}")
    in_effect = page.locator("dl.pairs > div", has_text="In effect").locator("dd").first
    expect(in_effect).to_contain_text(f"to {last}, then since {back}; not in effect {first_off} to {last_off}")


def test_a_day_is_answered_on_a_code_and_stays_in_the_url(visit: Visit, broken: tuple[str, dt.date, dt.date]) -> None:
    code, last, back = broken
    page = visit(f"codes.html#{code}")
    page.locator("h2.code").wait_for()
    page.locator("#day").fill(str(last + dt.timedelta(days=1)))
    answer = page.locator(".answer")
    expect(answer).to_contain_text(f"ended (in effect until {last}, again from {back})")
    page.locator("#day").fill(str(last))
    expect(answer).to_contain_text(f"On {last}: in effect")
    assert page.url.endswith(f"#{code}&on={last}")


def test_a_day_narrows_and_marks_the_matches(visit: Visit, sample: Version) -> None:
    day = dt.date(2019, 6, 30)
    spans = sample.open("hcpcs_history").filter(pl.col("code").str.starts_with("J"), kind="procedure")
    valid = spans.filter((pl.col("valid_from") <= day) & (pl.col("valid_to") >= day).fill_null(True))
    page = visit(f"codes.html#in=J&on={day}")
    page.get_by_label("Status").select_option("active")
    expect(page.locator("#matches li")).to_have_count(valid["code"].n_unique())
    expect(page.locator("#matches li").first).to_contain_text(f"in effect on {day}")


def test_matches_quote_the_long_text_with_the_words_marked(visit: Visit, sample: Version) -> None:
    row = (
        sample.open("hcpcs_codes").filter(pl.col("is_current_episode"), status="active").sort("code").row(0, named=True)
    )
    word = max((w for w in row["long_description"].lower().split() if w.isalpha()), key=len)
    page = visit(f"codes.html#q={row['code']}%20{word}")
    expect(page.locator("#matches li").first).to_contain_text(row["long_description"])
    expect(page.locator("#matches li").first.locator("mark").first).to_have_text(word, ignore_case=True)


def test_a_pasted_list_is_answered_as_hcpcs_check_answers_it(
    visit: Visit, sample: Version, broken: tuple[str, dt.date, dt.date]
) -> None:
    history = sample.open("hcpcs_history").filter(kind="procedure")
    ended = sample.open("hcpcs_crosswalk").filter(
        pl.col("relation") == "replaced_by", pl.col("target").is_not_null(), pl.col("is_withdrawn").not_()
    )["code"][0]
    other = "9" * 5  # no number of another owner is written here
    codes = [broken[0], ended, history["code"][0], other, "RH", "XX999", "code"]
    day = dt.date(2025, 11, 1)
    page = visit(f"codes.html#on={day}")
    page.locator("#words").evaluate(
        """(field, text) => {
            const data = new DataTransfer();
            data.setData("text/plain", text);
            field.focus();
            field.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
        }""",
        "\n".join(codes),
    )
    page.locator("#list tbody tr").first.wait_for()
    words = {"valid": "in effect", "expired": "ended", "purged_unknown": "left CMS’s file without a stated end"}
    words |= {"not_loaded": "not CMS’s", "unknown_code": "ambulance modifier", "unknown_shape": "no code"}
    expected = check_codes(sample.folder, codes, day=day)
    shown = rows_of(page)
    assert [row[0] for row in shown] == codes
    assert [row[1] for row in shown] == [words[e["status"]] for e in expected]
    assert [row[4] for row in shown] == [", ".join(e["successors"]) or "–" for e in expected]
    assert "AMA" in shown[3][2] and "hospital" in shown[4][2]


def test_the_displayed_rows_of_a_list_are_saved_as_csv(
    visit: Visit, broken: tuple[str, dt.date, dt.date], tmp_path
) -> None:
    page = visit(f"codes.html#q={broken[0]},%20RH,%20{'9' * 5}&on=2025-11-01")
    page.locator("#list select[name=on-day]").select_option("in effect")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    path = tmp_path / "list.csv"
    download.value.save_as(path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["code"] for row in rows] == [broken[0]]
    assert rows[0]["status_on_2025-11-01"] == "in effect"


def test_changes_of_a_list_are_those_after_a_release(visit: Visit, sample: Version) -> None:
    releases = sorted(sample.open("hcpcs_releases")["release_id"].unique())
    quiet = ["text_format_only", "action_date", "claimed_not_seen"]
    changes = sample.open("hcpcs_changes").filter(
        pl.col("release_id") > releases[0], pl.col("change").is_in(quiet).not_(), kind="procedure"
    )
    codes = changes["code"].unique().sort().to_list()[:3]
    page = visit(f"codes.html#q={','.join(codes)}")
    page.locator("#since").select_option(releases[0])
    for code, row in zip(codes, rows_of(page), strict=True):
        own = changes.filter(code=code).select("release_id", "change").unique().iter_rows()
        assert all(f"{release} {change.replace('_', ' ')}" in row[6] for release, change in own), code


def test_typos_are_forgiven_and_reported(visit: Visit) -> None:
    page = visit("codes.html#q=smaple")
    expect(page.locator("#state")).to_contain_text("searched for “sample”")
    expect(page.locator("#matches li").first).to_be_visible()


def test_a_code_of_another_owner_is_named_with_section_and_owner(visit: Visit, sample: Version) -> None:
    section = sample.open("code_sections").filter(code_system_id="cdt").sort("depth").row(0, named=True)
    page = visit(f"codes.html#q={section['first_code']}")
    expect(page.locator("#state")).to_contain_text("It belongs to the ADA")
    expect(page.locator("#state")).to_contain_text(section["name"])


def test_every_code_has_a_plain_page_that_answers_for_a_day(
    visit: Visit, sample: Version, sample_catalog: Path
) -> None:
    history = sample.open("hcpcs_history")
    names = {p.stem for p in (sample_catalog / "codes").glob("*.html") if not p.stem.startswith("section-")}
    assert names == set(history["code"])
    span = history.filter(kind="procedure").sort("valid_from").row(0, named=True)
    page = visit(f"codes/{span['code']}.html")
    page.get_by_label("On this day").fill(str(span["valid_from"]))
    expect(page.locator("#answer")).to_have_text(
        f"On {span['valid_from']}: in effect: {span['long_description'] or span['short_description']}."
    )
    page.get_by_label("On this day").fill(str(span["valid_from"] - dt.timedelta(days=1)))
    expect(page.locator("#answer")).to_contain_text("not yet in effect")


def test_the_rows_of_a_table_are_filtered_sorted_and_saved(visit: Visit, sample: Version, tmp_path: Path) -> None:
    table = sample.open("hcpcs_codes")
    page = visit("tables/hcpcs_codes.html")
    button = page.get_by_role("button", name="Load ")
    if button.count():
        button.click()
    expect(page.locator("#table-rows .shown")).to_have_text(f"{table.height} rows")
    page.locator("#table-rows select[name=column-status]").select_option("terminated")
    ended = table.filter(status="terminated")
    page.locator("#table-rows thead button", has_text=re.compile("^code$")).click()
    with page.expect_download() as download:
        page.locator("#table-rows").get_by_role("button", name="Download CSV").click()
    download.value.save_as(tmp_path / "rows.csv")
    saved = pl.read_csv(tmp_path / "rows.csv", infer_schema=False)
    assert saved.columns == table.columns
    assert saved["code"].to_list() == sorted(ended["code"])
    assert sorted(saved["short_description"].drop_nulls()) == sorted(ended["short_description"].drop_nulls())


def test_the_rows_of_a_large_table_are_those_of_its_newest_releases(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.catalog import table_rows

    monkeypatch.setattr(table_rows, "MOST_ROWS", 3)
    frame = pl.DataFrame({"release_id": ["a", "a", "b", "c", "c"], "n": range(5)})
    some = table_rows.displayed_rows(frame)
    assert (some.rows, some.words) == (3, "The rows of b to c.")
    assert table_rows.displayed_rows(frame.drop("release_id")).words == "The first 3 rows by the table's key."


def test_ended_codes_stand_beside_what_replaced_them(visit: Visit, sample: Version) -> None:
    target = (
        sample.open("hcpcs_crosswalk")
        .filter(pl.col("relation") == "replaced_by", pl.col("target_status") == "active", kind="procedure")
        .sort("code")
        .row(0, named=True)
    )
    page = visit(f"replacements.html#q={target['code']}")
    row = page.locator("#replacements tbody tr", has_text=target["target"])
    expect(row.locator("td").first).to_have_text(target["code"])


def test_the_start_page_counts_the_days_that_the_newest_release_is_late(browser: Browser, sample_catalog: Path) -> None:
    page = browser.new_page()
    for today, words in (
        ("2026-01-11", "OVERDUE: CMS’s January 2026 release took effect 10 days ago and is not loaded."),
        ("2025-12-31", "takes effect in 1 days"),
    ):
        page.clock.set_fixed_time(f"{today}T12:00:00Z")
        page.goto(f"{sample_catalog.as_uri()}/index.html")
        expect(page.locator("#freshness")).to_contain_text(words)
    page.close()


@pytest.mark.parametrize("address", ["codes.html", "codes/J0570.html"])
def test_no_page_runs_or_asks_for_what_is_not_of_the_catalog(
    address: str, browser: Browser, sample_catalog: Path
) -> None:
    page = browser.new_page()
    page.goto(f"{sample_catalog.as_uri()}/{address}")
    ran = page.evaluate(
        """async () => {
            const script = document.createElement("script");
            script.textContent = "window.injected = true";
            document.body.append(script);
            const image = new Image();
            const refused = new Promise((resolve) => { image.onerror = () => resolve(true); });
            image.src = "https://example.org/pixel.png";
            return [window.injected ?? false, await refused];
        }"""
    )
    assert ran == [False, True]


def test_a_span_displays_cms_own_record_with_a_field_marked_as_lookup_does(visit: Visit, sample: Version) -> None:
    records = sample.open("hcpcs_release_records").filter(redistribution="open")
    spans = sample.open("hcpcs_history").select("kind", "code", release_id="first_release")
    stated = records.join(spans, on=["kind", "code", "release_id"], how="semi").sort("code", "release_id")
    long = stated.filter(pl.col("source_member").str.ends_with(".txt"), pl.col("long_description").str.len_chars() > 80)
    in_workbook = stated.filter(pl.col("source_member").str.ends_with(".xlsx"))
    for rows, field in ((long, "long_description"), (long, "added_date"), (in_workbook, "added_date")):
        row = rows.row(0, named=True)
        places = raw_lines(sample.outputs, row["code"], field=field)
        place = next(p for p in places if p.release_id == row["release_id"])
        page = visit(f"codes.html#{row['code']}")
        title = f"{row['source_line']:,} of {row['source_member']}, release {row['release_id']}"
        box = page.locator("details.record", has_text=title).first
        box.locator("summary").click()
        box.get_by_label("Field").select_option(field)
        lines = [line for line in box.locator("pre").inner_text().splitlines() if line]
        marks = box.locator("mark").all_inner_texts()
        if field == "added_date" and rows is in_workbook:
            assert [f"[{mark}]" for mark in marks] == re.findall(r"\[.*?\]", place.lines[0][1])
            continue
        assert [line.rstrip() for line in lines] == [re.sub(r"[\[\]]", "", text).rstrip() for _, text in place.lines]
        assert [mark.rstrip() for mark in marks] == [
            re.search(r"\[(.*)\]", t)[1].rstrip() for _, t in place.lines if "[" in t
        ]


def test_the_name_of_a_setting_marks_its_field_by_keyboard(visit: Visit, sample: Version) -> None:
    code = sample.open("hcpcs_history").filter(pl.col("coverage_code").is_not_null(), kind="procedure")["code"][0]
    page = visit(f"codes.html#{code}")
    page.locator("summary", has_text="All that CMS says").first.focus()
    page.keyboard.press("Enter")
    page.locator("button.field", has_text="Coverage code").first.focus()
    page.keyboard.press("Enter")
    box = page.locator("details.record").first
    expect(box).to_have_attribute("open", "")
    expect(box.get_by_label("Field")).to_be_focused()
    expect(box.get_by_label("Field")).to_have_value("coverage_code")
    expect(box.locator("mark")).to_have_text(re.compile("^[A-Z]$"))


def test_without_its_archive_a_catalog_names_no_record(own_sample: Outputs, browser: Browser) -> None:
    shutil.rmtree(own_sample.archive)
    folder = write_catalog(own_sample).folder
    page = browser.new_page()
    page.goto(f"{folder.as_uri()}/codes.html#J0570")
    page.locator("h2.code").wait_for()
    assert page.locator("details.record").count() == 0
    page.close()
