"""A plain page for every code and modifier, at a URL of its own, and a list of them for each section.

They are for links, for search engines and for browsers without JavaScript; the page Codes has the whole history.
"""

from __future__ import annotations

import polars as pl

from pipeline.catalog.codes import MODIFIERS, STATUS_WORDS, days_of_codes, latest_states, sections
from pipeline.catalog.site import Site, escaped, filled, holes
from pipeline.catalog.version_reader import PublishedVersion, PublishedVersions
from schemas.hcpcs_validity import FIRST_DAY, LAST_DAY

_DESCRIPTIONS = ("short_description", "long_description")
_SHOWN = (
    *(f"hcpcs_{t}.{c}" for t in ("codes", "modifiers", "history") for c in ("code", *_DESCRIPTIONS)),
    "hcpcs_codes.replaced_by",
    "hcpcs_modifiers.replaced_by",
)
_CODE = ("kind", "code")


def write(site: Site, published: PublishedVersions) -> None:
    """Write ``codes/<code>.html`` for every code and modifier, and ``codes/section-<letter>.html``."""
    version = published.latest
    current = latest_states(version).filter("is_current_episode")
    for code, html in code_pages(site, version, current).iter_rows():
        site.asset(f"codes/{code}.html", html, shows=_SHOWN)
    listed = current.select(*_CODE, "short_description", "status")
    is_modifier = pl.col("kind") == "modifier"
    for section in sections(version):
        is_of_letter = ~is_modifier & pl.col("code").str.starts_with(section.prefix)
        site.page(
            f"codes/section-{section.prefix}.html",
            "section.html",
            section.name,
            codes=listed.filter(is_modifier if section.prefix == MODIFIERS else is_of_letter).to_dicts(),
            shows=_SHOWN,
        )


def code_pages(site: Site, version: PublishedVersion, current: pl.DataFrame) -> pl.DataFrame:
    """``code`` and ``html``, the page of each row of ``current``: one template that is filled for all."""
    parts = site.macros("code_parts.html")
    texts = holes("code", "name", "lead", "what", "state", "section_fact", "license", "releases", "successors", "days")
    page = site.rendered("codes/code.html", "code.html", **texts)
    day = parts.day(**holes("look", "first", "last", "words", "episode", "text"))
    section = filled(parts.section(**holes("section")))
    successor = filled(parts.successor(**holes("of")), of=escaped(pl.element()))
    successors = filled(
        parts.successors(**holes("all")), all=pl.col("replaced_by").list.eval(successor).list.join(", ")
    )
    licenses = {license_id: short for license_id, (short, _) in site.macros("macros.html").license_names.items()}
    return (
        current.join(version.frame("code_sections").select("section_id", section="name"), on="section_id", how="left")
        .join(days_in_html(version, day), on=_CODE, how="left")
        .with_columns(
            name="short_description",
            lead=pl.when(pl.col("redistribution") == "withheld")
            .then(pl.format("The text is withheld: it belongs to the {}.", "steward"))
            .otherwise(pl.coalesce("long_description", "short_description", pl.lit("No description"))),
            what=pl.col("kind").replace({"procedure": "Code", "modifier": "Modifier"}),
            state=pl.col("status").replace("terminated", "ended"),
            section_fact=pl.when(pl.col("section").is_not_null()).then(section),
            license=pl.col("license_id").replace(licenses),
            releases=pl.format("{} to {}", "first_release", "last_release"),
            successors=pl.when(pl.col("replaced_by").list.len() > 0).then(successors),
        )
        .select("code", html=filled(page, **{name: pl.col(name) for name in ("section_fact", "successors", "days")}))
    )


def days_in_html(version: PublishedVersion, row: str) -> pl.DataFrame:
    """``kind, code, days``: the spans of days in order as ``row``, which has holes for days, status, episode and text.

    A span in effect is one of ``hcpcs_history``; the others are what ``hcpcs_validity`` says of the days around them,
    but of those before the first, when no code is in effect yet.
    """
    spans = version.frame("hcpcs_history").select(
        *_CODE,
        "episode",
        pl.col("valid_from").alias("from_day"),
        pl.col("valid_to").fill_null(LAST_DAY).alias("to_day"),
        pl.lit("valid").alias("status"),
        pl.coalesce("long_description", "short_description", pl.lit("withheld")).alias("text"),
    )
    is_before = (pl.col("status") == "not_yet_valid") & (pl.col("from_day") == FIRST_DAY)
    is_around = (pl.col("status") != "valid") & ~is_before
    around = days_of_codes(version).filter(is_around).with_columns(text=pl.lit(None, pl.String))
    days = pl.concat([spans, around.select(spans.columns)]).sort(*_CODE, "from_day")
    return (
        days.with_columns(
            pl.col("episode").cast(pl.String).fill_null("–"),
            pl.col("text").fill_null("–"),
            first=pl.col("from_day").replace(FIRST_DAY, None).cast(pl.String).fill_null("–"),
            last=pl.col("to_day").replace(LAST_DAY, None).cast(pl.String).fill_null("–"),
            words=pl.col("status").replace_strict(STATUS_WORDS, default=pl.col("status").str.replace_all("_", " ")),
            look=pl.when(pl.col("status") != "valid").then(pl.lit(' class="quiet"')),
        )
        .group_by(_CODE, maintain_order=True)
        .agg(filled(row, look=pl.col("look")).str.join("\n").alias("days"))
    )
