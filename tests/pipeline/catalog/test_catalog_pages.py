"""What the pages Start, Tables, Lineage and Licenses say is what the version holds."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl
import pytest
from conftest import Version
from hypothesis import given
from hypothesis import strategies as st
from made_up import posting, record
from selectolax.lexbor import LexborHTMLParser

from pipeline.catalog import licenses, start, tables
from pipeline.catalog.charts import bar_chart, line_chart
from pipeline.catalog.drawing import Drawing
from pipeline.catalog.lineage import column_edges, draw, shown_tables
from pipeline.catalog.profile import profiles
from pipeline.catalog.version_reader import PublishedVersion, read_versions
from pipeline.lineage import columns as lineage


@pytest.fixture(scope="module")
def version(sample: Version) -> PublishedVersion:
    return read_versions(sample.outputs).latest


def page(catalog: Path, name: str) -> LexborHTMLParser:
    return LexborHTMLParser((catalog / name).read_text("utf-8"))


def cells(row) -> list[str]:
    return [" ".join(cell.text().split()) for cell in row.css("th, td")]


def number(text: str) -> int:
    return int(text.replace(",", ""))


# Start.


def test_the_start_page_counts_what_the_tables_hold(sample_catalog: Path, sample: Version):
    facts = page(sample_catalog, "index.html").css("dl.facts div")
    stated = {fact.css_first("dt").text(): fact.css_first("dd").text() for fact in facts}
    codes = sample.open("hcpcs_codes")
    assert number(stated["Codes ever seen"]) == codes["code"].n_unique()
    assert number(stated["Codes in effect"]) == codes.filter(status="active")["code"].n_unique()
    assert number(stated["Releases loaded"]) == sum(sample.open("hcpcs_releases")["is_current"])
    assert stated["Newest release"] == sample.content["newest_release"]


def test_the_timeline_shows_every_loaded_release_and_those_of_the_calendar_that_are_not(version: PublishedVersion):
    marks = start.timeline(version)
    assert [m.release_id for m in marks if m.state == "loaded"] == version.releases
    assert [m.x for m in marks] == sorted(m.x for m in marks)
    absent = {m.release_id for m in marks if m.state == "absent"}
    assert "2013-01" in absent, "yearly to 2020"
    assert {"2024-01", "2024-04", "2024-07", "2024-10"} <= absent, "quarterly since"


def test_gaps_are_runs_of_releases_not_loaded():
    marks = [
        start.Mark(release, state, 0.0)
        for release, state in [
            ("2019-01", "loaded"),
            ("2020-01", "absent"),
            ("2020-04", "absent"),
            ("2020-07", "refused"),
            ("2020-10", "absent"),
            ("2021-01", "loaded"),
        ]
    ]
    assert start.gaps(marks) == [("2020-01", "2020-04", 2), ("2020-10", "2020-10", 1)]


def test_what_changed_last_is_what_the_changes_of_the_newest_release_say(version: PublishedVersion, sample: Version):
    changed = start.last_changes(version)
    rows = sample.open("hcpcs_changes").filter(release_id=changed["newest"])
    across = rows.filter(pl.col("previous_release_id") != changed["newest"])
    assert {r["change"]: r["fields"] for r in changed["rows"]} == dict(across["change"].value_counts().iter_rows())


@pytest.mark.parametrize("dialect", ["SQL for DuckDB", "Python with Polars"])
def test_the_queries_run_in_the_folder_of_outputs(sample_catalog: Path, dialect: str, monkeypatch: pytest.MonkeyPatch):
    snippet = page(sample_catalog, "index.html").css_first(f'pre[aria-label="{dialect}"]').text()
    monkeypatch.chdir(sample_catalog.parent)
    if dialect.startswith("SQL"):
        rows = duckdb.connect().sql(snippet).fetchall()
        assert [row[0] for row in rows] == ["J0570"]
        return
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert "section_id" in done.stdout


def test_versions_are_compared_with_the_one_before(build: Callable[..., Version]):
    build(posting("2024-01", record("A0001")))
    outputs = build(posting("2025-01", record("A0001"), record("J1000"))).outputs
    newest, oldest = start._versions(read_versions(outputs))
    assert newest["is_shown"]
    assert not oldest["has_predecessor"]
    assert newest["new"] == ["2025-01"]
    rows = tables._rows_by_version(read_versions(outputs), "hcpcs_codes")
    assert rows[0]["change"] == rows[0]["rows"] - rows[1]["rows"] > 0


# Tables.


def test_every_table_has_a_page_with_every_column(sample_catalog: Path, sample: Version):
    for name, entry in sample.content["files"].items():
        if not name.endswith(".parquet"):
            continue
        table = Path(name).stem
        rows = page(sample_catalog, f"tables/{table}.html").css("table.columns-table > tbody > tr")
        assert [row.attributes["id"] for row in rows] == sample.open(table).columns
        assert entry["rows"] == sample.open(table).height


@pytest.mark.parametrize("table", ["hcpcs_codes", "hcpcs_history", "code_sections"])
def test_filled_and_distinct_are_those_that_a_database_counts(version: PublishedVersion, sample: Version, table: str):
    database = duckdb.connect()
    for row in tables.columns_of(version, version.tables[table]):
        name, rows = row.facts.name, f"'{sample.folder}/open/{table}.parquet'"
        sql = f"select count({name}), count(distinct {name}) from {rows}"
        if row.profile.is_list:
            elements = f"select unnest({name}) as element from {rows}"
            sql = f"select count(*) filter (len({name}) > 0), (select count(distinct element) from ({elements}))"
            sql += f" from {rows}"
        assert database.execute(sql).fetchall() == [(row.profile.filled, row.profile.distinct)], name


def test_a_share_is_stated_so_that_all_and_none_mean_it(version: PublishedVersion):
    found = profiles(pl.DataFrame({"full": [1] * 300, "almost": [1] * 299 + [None], "hardly": [1] + [None] * 299}))
    assert [tables.filled_text(found[c]) for c in ("full", "almost", "hardly")] == ["all", "> 99 %", "< 1 %"]
    assert tables.filled_text(profiles(pl.DataFrame({"none": pl.Series([None], dtype=pl.String)}))["none"]) == "none"


def test_values_shaped_like_another_owners_code_are_no_examples():
    texts = [f"word {n}" for n in range(40)] + ["see 99213", "D0120", "0042T", "cpt99213"] * 9
    found = profiles(pl.DataFrame({"few": (["99213"] * 5 + ["J1100"] * 5), "many": texts[:10]}))
    assert [value for value, _ in found["few"].shares] == ["J1100"]
    only = profiles(pl.DataFrame({"only": [f"9{n:04d}" for n in range(50)]}))["only"]
    assert only.examples == ()
    many = profiles(pl.DataFrame({"many": [f"{t} {n}" for n, t in enumerate(texts)]}))["many"]
    assert len(many.examples) == 3
    assert all(text.startswith("word") for text in many.examples)


@given(st.lists(st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)), max_size=60))
def test_a_histogram_counts_every_value_once(values: list[int | None]):
    found = profiles(pl.DataFrame({"n": pl.Series(values, dtype=pl.Int64)}))["n"]
    present = [v for v in values if v is not None]
    assert found.filled == len(present)
    assert sum(found.bins) + sum(rows for _, rows in found.shares) == len(present)


def test_examples_show_nothing_that_is_withheld(sample_catalog: Path, sample: Version):
    """The tables that a version is made from hold the whole: what they alone hold is on no page."""
    whole = pl.read_parquet(sample.outputs.work / "hcpcs_release_records.parquet")
    texts = whole.filter(pl.col("code").str.contains("^P[1-6]$"))["long_description"].drop_nulls().unique().to_list()
    assert texts, "the sample has modifiers of the AMA"
    shown = " ".join(p.read_text("utf-8") for p in sample_catalog.rglob("*") if p.suffix in (".html", ".js"))
    assert [t for t in texts if t.lower() in shown.lower()] == []


def test_a_masked_list_shows_only_what_is_left(sample_catalog: Path, sample: Version):
    shown = page(sample_catalog, "tables/hcpcs_crosswalk.html").css_first("tr#target").text()
    assert not re.search(r"\b\d{5}\b", shown)
    assert sample.open("hcpcs_crosswalk")["target"].null_count() > 0


# Lineage.


@pytest.fixture(scope="module")
def drawing(version: PublishedVersion) -> Drawing:
    return draw(shown_tables(version))


def test_the_pages_data_have_every_step_that_the_lineage_knows(sample_catalog: Path):
    script = (sample_catalog / "data" / "lineage.js").read_text("utf-8")
    data = json.loads(script[script.index("]=") + 2 :].rstrip().rstrip(";"))
    stated = {tuple(edge) for edge in data["edges"]}
    known = {
        (str(ref), f"{table.name}.{column}")
        for table in lineage.tables()
        if table.group not in ("source", "version")
        for column in table.columns
        for ref in (
            *lineage.column_inputs(table.name, column),
            *(f"{s.source}.{s.field}" for s in lineage.direct_sources(table.name, column)),
        )
    }
    assert stated == known
    assert len(data["edges"]) == len(stated)


def test_every_published_column_reaches_a_place_that_others_publish_or_is_ours(version: PublishedVersion):
    edges = column_edges(shown_tables(version))
    inputs: dict[str, list[str]] = {}
    for source, target in edges:
        inputs.setdefault(target, []).append(source)
    sources = set(lineage.SOURCES)
    for table in version.tables.values():
        for column in table.columns:
            reached, at = set(), [f"{table.name}.{column.name}"]
            while at:
                one = at.pop()
                if one not in reached:
                    reached.add(one)
                    at += inputs.get(one, [])
            begins = {one.split(".")[0] for one in reached} & sources
            assert begins or lineage.is_derived(table.name, column.name), f"{table.name}.{column.name}"


def test_boxes_stand_apart_and_each_right_of_what_it_is_made_from(drawing: Drawing):
    boxes = {b.name: b for b in drawing.boxes}
    for a in drawing.boxes:
        assert a.x >= 0 and a.x + a.width <= drawing.width
        assert a.y >= 0 and a.y + a.height <= drawing.height
        for b in drawing.boxes:
            apart = a.x + a.width <= b.x or b.x + b.width <= a.x or a.y + a.height <= b.y or b.y + b.height <= a.y
            assert a is b or apart, (a.name, b.name)
    for line in drawing.lines:
        assert boxes[line.start].x + boxes[line.start].width < boxes[line.end].x


def test_no_line_runs_behind_a_box(drawing: Drawing):
    """Lines are level where they pass a layer: there none meets a box."""
    for line in drawing.lines:
        numbers = [float(n) for n in re.findall(r"-?\d+\.?\d*", line.path)]
        assert len(numbers) >= 8
        level = re.findall(r"(-?[\d.]+) (-?[\d.]+)H(-?[\d.]+)", line.path)
        for left, y, right in level:
            behind = [
                b.name
                for b in drawing.boxes
                if b.x < float(right) and float(left) < b.x + b.width and b.y < float(y) < b.y + b.height
            ]
            assert behind == [], line


def test_the_graph_leads_to_every_table(sample_catalog: Path, sample: Version):
    links = page(sample_catalog, "lineage.html").css("svg.graph a")
    leads = {link.attributes["href"] for link in links}
    published = {Path(f).stem for f in sample.content["files"] if f.endswith(".parquet")}
    assert {f"tables/{t}.html" for t in published} <= leads


# Licenses.


def test_masked_fields_are_those_that_the_rows_list(version: PublishedVersion, sample_catalog: Path, sample: Version):
    expected = {}
    for table in version.tables.values():
        if "withheld_fields" in {c.name for c in table.columns}:
            for column, count in (
                sample.open(table.name)["withheld_fields"].explode().drop_nulls().value_counts().iter_rows()
            ):
                expected[f"{table.name}.{column}"] = count
    assert expected
    rows = page(sample_catalog, "licenses.html").css('[aria-label="What is masked, and why"] tbody tr')
    stated = {cells(row)[0].replace(" ", ""): number(cells(row)[1]) for row in rows}
    assert {place: count for place, count in stated.items() if count} == expected


def test_every_rule_that_masks_is_listed_with_its_reason(sample_catalog: Path, version: PublishedVersion):
    from sources.curated.license_policy import load_license_policy

    text = " ".join(page(sample_catalog, "licenses.html").body.text().split())
    for reason in load_license_policy().filter(action="mask")["reason"].unique():
        assert reason in text


def test_every_condition_of_the_policy_has_words():
    from sources.curated.license_policy import CONDITIONS

    assert set(licenses.CONDITIONS) == set(CONDITIONS)


# Charts.


def test_bars_are_as_high_as_their_numbers():
    drawn = bar_chart(["2024-01", "2025-01"], {"Rows": [12000, 3000], "Notes": [4000, 1000]}, height=300)
    first, second = drawn.bars[:2], drawn.bars[2:]
    assert [round(bar.height / second[1].height, 6) for bar in drawn.bars] == [12, 4, 3, 1]
    for rows, notes in (first, second):
        assert (rows.x, rows.width) == (notes.x, notes.width)
        assert notes.y + notes.height == pytest.approx(rows.y), "one on the other"
        assert rows.y + rows.height == pytest.approx(drawn.steps[0].y), "the lower one on zero"
    assert [step.text for step in drawn.steps] == ["0", "5,000", "10,000", "15,000", "20,000"]
    assert [place.text for place in drawn.places] == ["2024-01", "2025-01"]
    assert [name.text for name in drawn.legend] == ["Rows", "Notes"]


@pytest.mark.parametrize("counts", [[0, 0], [1, 0], [10**9, 1]])
def test_a_chart_can_be_drawn_of_few_and_of_many(counts: list[int]):
    drawn = bar_chart(["2024-01", "2025-01"], {"Rows": counts}, height=200)
    assert all(bar.y >= 0 and bar.height >= 0 for bar in drawn.bars)
    assert 2 <= len(drawn.steps) <= 7


def test_lines_go_by_days_and_their_names_do_not_overlap():
    days = [dt.date(2020, 1, 1), dt.date(2021, 1, 1), dt.date(2024, 1, 1)]
    drawn = line_chart(days, {"A": [10, 20, 40], "B": [0, 0, 41]}, bands=[(days[1], days[2])], height=300)
    (a0, a1, a2), b = drawn.curves
    assert (a2[0] - a0[0]) / (a1[0] - a0[0]) == pytest.approx(1461 / 366)
    zero = drawn.steps[0].y
    assert (zero - a2[1]) / (zero - a0[1]) == pytest.approx(4) and b[0][1] == zero
    assert abs(drawn.ends[0].y - drawn.ends[1].y) >= 15
    assert (drawn.bars[0].x, drawn.bars[0].width) == (a1[0], pytest.approx(a2[0] - a1[0]))


def test_charts_can_be_read_aloud_and_share_no_id(sample_catalog: Path):
    found = page(sample_catalog, "releases.html")
    drawings = found.css("figure.chart svg")
    assert len(drawings) == 2
    for svg in drawings:
        title, description = (found.css_first(f"#{i}").text() for i in svg.attributes["aria-labelledby"].split())
        assert svg.attributes["role"] == "img" and title and description
    ids = [node.attributes["id"] for node in found.css("[id]")]
    assert len(ids) == len(set(ids))
