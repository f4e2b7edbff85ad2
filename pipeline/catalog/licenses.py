"""The catalog's page Licenses: whose what is, what may be done with it, and what is masked and why.

The counts are the version's, the reasons those of the license policy.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl

from pipeline.catalog.site import Site
from pipeline.catalog.version_reader import PublishedVersion, PublishedVersions
from sources.curated.license_policy import load_license_policy

#: What a row of the policy depends on, in words.
CONDITIONS = {
    "row_of_ama_or_ada": "the row is about a code or modifier of the AMA or the ADA",
    "names_cpt_or_cdt_code": "the value is a CPT or CDT code",
    "cites_cpt_or_cdt": "the words mention a CPT or CDT code",
    "cites_in_description": "a quoted description mentions a CPT or CDT code",
    "cites_outside_description": "another quoted value mentions a CPT or CDT code",
    "quotes_cpt_or_cdt": "our own message quotes a CPT or CDT code",
    "names_section_of_rules": "the number of a section of a law or manual",
    "names_a_line": "the number of a line or row of a file",
}


def write(site: Site, published: PublishedVersions) -> None:
    """Write the page Licenses."""
    version = published.latest
    counted = version.licenses
    site.page(
        "licenses.html",
        "licenses.html",
        "Licenses",
        licenses=[row | totals(counted, row["license_id"]) for row in version.frame("licenses").to_dicts()],
        counted=[row for row in counted if row["rows"]],
        masked=reasons(counted),
        kept=_policy_rows("keep", set(version.files)),
        citing=_citing(version),
        conditions=CONDITIONS,
        texts=f"../versions/{version.version}/",
        shows=[f"licenses.{c}" for c in version.frame("licenses").columns],
    )


def totals(counted: list[dict[str, Any]], license_id: str) -> dict[str, int]:
    """What the version holds under a license: tables, columns, rows withheld, fields masked."""
    own = [row for row in counted if row["license_id"] == license_id]
    return {
        "tables": len({row["table"] for row in own}),
        "columns": sum(row["columns"] for row in own),
        "withheld_rows": sum(row["withheld_rows"] for row in own),
        "masked_fields": sum(row["masked_fields"] for row in own),
    }


def reasons(counted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every column that the policy masks, with the conditions, the reasons and how many fields are masked here."""
    fields: Counter[tuple[str, str]] = Counter()
    for row in counted:
        for column, number in row["masked"].items():
            fields[row["table"], column] += number
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for rule in _policy_rows("mask", {row["table"] for row in counted}):
        place = (rule["table"], rule["column"])
        entry = found.setdefault(
            place, {"table": place[0], "column": place[1], "rules": [], "fields": fields.get(place, 0)}
        )
        entry["rules"].append((rule["condition"], rule["reason"]))
    return sorted(found.values(), key=lambda e: (-e["fields"], e["table"], e["column"]))


def _policy_rows(action: str, tables: set[str]) -> list[dict[str, Any]]:
    policy = load_license_policy()
    return policy.filter(pl.col("action") == action, pl.col("table").is_in(tables)).sort("table", "column").to_dicts()


def _citing(version: PublishedVersion) -> list[tuple[str, int, int]]:
    """Tables with rows of CMS's own words that mention a number of others: rows that do, and all rows."""
    flagged = [t.name for t in version.tables.values() if "cites_cpt" in {c.name for c in t.columns}]
    counts = [(t, int(version.frame(t)["cites_cpt"].sum()), version.frame(t).height) for t in flagged]
    return [row for row in counts if row[1]]
