"""The catalog as a folder: whole or not at all, checked by the gate, all links within it."""

from __future__ import annotations

import errno
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import polars as pl
import pytest
from conftest import Version
from filelock import FileLock

from hcpcs.paths import Outputs
from hcpcs.version_files import NothingPublished
from pipeline.catalog import build, start
from pipeline.catalog.build import write_catalog
from pipeline.catalog.site import Site, filled, holes
from pipeline.catalog.version_reader import PublishedVersions, read_versions
from pipeline.license_gate.report import LicenseLeak
from pipeline.versions.writer import BeingWritten
from sources.curated.license_policy import load_license_policy
from sources.errors import SourceError


class Links(HTMLParser):
    """The addresses, and the ids, of a page; ``loads`` are those that a browser fetches without being asked."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.leads: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if named.get("id"):
            self.ids.append(str(named["id"]))
        for name in ("href", "src"):
            if named.get(name):
                (self.leads if tag == "a" else self.loads).append(str(named[name]))


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def page_that(does: object) -> ModuleType:
    """A page module of our own."""
    module = ModuleType("pipeline.catalog.planted")
    module.write = does  # type: ignore[attr-defined]
    return module


@pytest.fixture
def site(tmp_path: Path, sample: Version) -> Site:
    folder = tmp_path / "site"
    folder.mkdir()
    return Site(folder, version=sample.id, is_sample=True, newest="2025-10")


def test_every_link_of_every_page_leads_somewhere(sample_catalog: Path):
    pages = {p: Links(p) for p in sample_catalog.rglob("*.html")}
    assert len(pages) > 20
    broken = []
    for page, links in pages.items():
        for address in links.leads + links.loads:
            parts = urlsplit(address)
            if parts.scheme:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            # Behind the # of some pages stands what their scripts are to show: a column, a code, `severity=warning`.
            takes_any = target.name in ("lineage.html", "codes.html") and not parts.fragment.startswith("step-")
            takes_any |= "=" in parts.fragment
            is_named = not parts.fragment or takes_any or parts.fragment in pages[target].ids
            if not target.is_file() or not is_named:
                broken.append(f"{page.relative_to(sample_catalog)}: {address}")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(sample_catalog: Path):
    loads = {address for page in sample_catalog.rglob("*.html") for address in Links(page).loads}
    assert loads
    assert {urlsplit(a).scheme for a in loads} <= {"", "data"}
    assert not [a for a in loads if a.startswith("//")]


def test_no_id_stands_twice_on_a_page(sample_catalog: Path):
    for page in sample_catalog.rglob("*.html"):
        ids = Links(page).ids
        assert sorted(set(ids)) == sorted(ids), page.name


def test_the_first_page_and_the_whole_are_small(sample_catalog: Path):
    first = sample_catalog / "index.html"
    loaded = [first, *(sample_catalog / a for a in Links(first).loads if not a.startswith("data:"))]
    assert sum(p.stat().st_size for p in loaded) < 100_000
    assert sum(map(len, contents(sample_catalog).values())) < 30_000_000


def test_the_catalog_is_a_function_of_the_published_versions(own_sample: Outputs):
    first = contents(write_catalog(own_sample).folder)
    assert contents(write_catalog(own_sample).folder) == first


def test_the_command_says_what_it_wrote_and_how_to_open_it(own_sample: Outputs, sample: Version, hcpcs):
    said = hcpcs("catalog", "--outputs", own_sample.folder)
    assert said.status == 0
    assert sample.id in said.out
    assert "index.html" in said.out
    assert (own_sample.folder / "catalog" / "index.html").is_file()


def test_before_the_first_version_there_is_nothing_to_show(tmp_path: Path, hcpcs):
    with pytest.raises(NothingPublished, match="has no version yet"):
        write_catalog(Outputs(tmp_path))
    said = hcpcs("catalog", "--outputs", tmp_path)
    assert said.status == 1
    assert "hcpcs refresh" in said.err
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_catalog_is_not_replaced(own_sample: Outputs):
    target = own_sample.folder / "catalog"
    target.write_text("mine")
    with pytest.raises(SourceError, match="is a file; move it away"):
        write_catalog(own_sample)
    assert target.read_text() == "mine"
    target.unlink()
    target.mkdir()
    (target / "thesis.txt").write_text("mine")
    with pytest.raises(SourceError, match="a folder that is no catalog"):
        write_catalog(own_sample)
    assert contents(target) == {"thesis.txt": b"mine"}


def test_a_page_that_shows_what_is_withheld_stops_the_catalog(own_sample: Outputs, monkeypatch: pytest.MonkeyPatch):
    before = contents(write_catalog(own_sample).folder)

    def leak(site: Site, published: PublishedVersions) -> None:
        site.data("data/planted.js", "planted", {"target": "99213"})

    monkeypatch.setattr(build, "PAGES", (start, page_that(leak)))
    with pytest.raises(LicenseLeak, match=r"data/planted\.js"):
        write_catalog(own_sample)
    assert contents(own_sample.folder / "catalog") == before
    assert not list(own_sample.folder.glob(".catalog-*"))


def test_a_full_disk_leaves_the_catalog_before(own_sample: Outputs, monkeypatch: pytest.MonkeyPatch, hcpcs):
    before = contents(write_catalog(own_sample).folder)

    def fill(site: Site, published: PublishedVersions) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(build, "PAGES", (start, page_that(fill)))
    said = hcpcs("catalog", "--outputs", own_sample.folder)
    assert said.status == 1
    assert "No space left on device" in said.err
    assert "the catalog before is as it was" in said.err
    assert contents(own_sample.folder / "catalog") == before
    assert not list(own_sample.folder.glob(".catalog-*"))


def test_a_run_killed_between_the_renames_loses_nothing(own_sample: Outputs, monkeypatch: pytest.MonkeyPatch):
    before = contents(write_catalog(own_sample).folder)
    (own_sample.folder / "catalog").rename(own_sample.folder / ".catalog-old")
    (own_sample.folder / ".catalog-new").mkdir()

    def fail(site: Site, published: PublishedVersions) -> None:
        raise OSError("no more")

    with monkeypatch.context() as patch:
        patch.setattr(build, "PAGES", (page_that(fail),))
        with pytest.raises(OSError, match="no more"):
            write_catalog(own_sample)
    assert contents(own_sample.folder / "catalog") == before


def test_two_runs_at_a_time_do_not_meet(own_sample: Outputs):
    with (
        FileLock(own_sample.folder / ".catalog.lock"),
        pytest.raises(BeingWritten, match="being written"),
    ):
        write_catalog(own_sample, wait=0)


def test_a_damaged_version_is_an_error_and_no_page(own_sample: Outputs, sample: Version):
    path = own_sample.version(sample.id) / "open" / "hcpcs_codes.parquet"
    path.write_bytes(b"PAR1" + bytes(path.stat().st_size - 4))
    with pytest.raises(SourceError, match="hcpcs verify"):
        write_catalog(own_sample)
    path.unlink()
    with pytest.raises(SourceError, match=r"hcpcs_codes\.parquet is missing"):
        write_catalog(own_sample)


def test_another_version_that_is_damaged_does_not_keep_the_latest_from_being_shown(
    own_sample: Outputs, sample: Version
):
    other = own_sample.versions / "2011.01.1"
    other.mkdir()
    (other / "manifest.json").write_text("{")
    published = read_versions(own_sample)
    assert (published.latest.version, published.others) == (sample.id, ())


def test_a_file_may_quote_what_the_policy_lets_its_columns_keep_and_no_more(site: Site):
    words = {"text": "Sample: told beside 99213"}
    site.data("data/quoting.js", "quoting", words, shows=["hcpcs_codes.long_description"])
    build.check_site(site, load_license_policy())
    site.data("data/silent.js", "silent", words)
    with pytest.raises(LicenseLeak) as caught:
        build.check_site(site, load_license_policy())
    assert {leak.table for leak in caught.value.leaks} == {"data/silent.js"}


def test_a_bare_key_of_another_owner_passes_where_its_column_is_shown(site: Site):
    """CMS once listed codes of the ADA by mistake: the catalog of such a release must still be made."""
    site.data("data/keys.js", "keys", ["J1100", "D0120"], shows=["hcpcs_codes.code"])
    build.check_site(site, load_license_policy())
    site.data("data/words.js", "words", ["D0120 told"], shows=["hcpcs_codes.code"])
    with pytest.raises(LicenseLeak, match=r"data/words\.js"):
        build.check_site(site, load_license_policy())


def test_a_code_behind_a_line_end_in_a_script_is_found(site: Site):
    site.data("data/lines.js", "lines", {"text": "one\n99213"})
    with pytest.raises(LicenseLeak, match="99213"):
        build.check_site(site, load_license_policy())


def test_text_is_escaped_and_a_missing_value_is_an_error(site: Site, monkeypatch: pytest.MonkeyPatch):
    from jinja2 import DictLoader, UndefinedError

    monkeypatch.setattr(
        site._environment, "loader", DictLoader({"a.html": "<p>{{ text }}</p>", "b.html": "{{ nothing }}"})
    )
    site.page("a.html", "a.html", "A", text="<b>&")
    assert (site.folder / "a.html").read_text() == "<p>&lt;b&gt;&amp;</p>"
    with pytest.raises(UndefinedError):
        site.page("b.html", "b.html", "B")


def test_no_file_is_written_twice(site: Site):
    site.asset("note.txt", "one")
    with pytest.raises(ValueError, match=r"two files of the name note\.txt"):
        site.asset("note.txt", "two")


def test_a_page_that_is_filled_is_escaped_as_one_of_a_template(tmp_path: Path) -> None:
    texts = ["plain", "<b>&amp;\"'</b>", "a\0code\0b", "ünïcode – ’", "", None]
    site = Site(tmp_path, version="v", is_sample=False, newest="2025-10")
    page = site.rendered("codes/x.html", "section.html", **holes("title"), codes=[], scripts=())
    html = pl.DataFrame({"title": texts}, schema={"title": pl.String}).select(filled(page)).to_series()
    for number, text in enumerate(texts):
        site.page(f"codes/{number}.html", "section.html", text or "", codes=[])
        assert html[number] == (tmp_path / "codes" / f"{number}.html").read_text()
