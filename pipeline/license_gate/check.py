"""The gate: reads every byte that would be published and refuses a version that holds what is another owner's.

It looks at files, not at the code that made them, so it shares nothing with ``license_flags``: its patterns, its
idea of a row that belongs to the AMA or the ADA, and its reading of the policy are its own. What it may let pass is
said by the ``keep`` rows of ``sources/curated/license_policy.csv`` alone, each with a condition that is tested here.
Masking, and what becomes of a refused version, belong elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import polars as pl

from pipeline.license_gate.as_read import MIN_TEXT_LETTERS, compared_form
from pipeline.license_gate.gate import Gate
from pipeline.license_gate.policy import ANY_FILE, Policy, policy_of_quotes
from pipeline.license_gate.report import GateReport, LicenseLeak
from pipeline.license_gate.table_gate import FOREIGN_TEXT
from pipeline.license_gate.tables import CODE_COLUMNS, Table
from pipeline.license_gate.workbooks import SHARED_TEXTS

#: So many letters and digits from the beginning of a withheld description give it away.
_TELLING_START = 32


def check_version(
    folder: Path, policy: pl.DataFrame, manifest_files: Iterable[str], *, forbidden_texts: Iterable[str] = ()
) -> GateReport:
    """Read everything in ``folder``; raises ``LicenseLeak`` with all leaks if there is one, else says what it saw.

    ``manifest_files`` are the paths, from ``folder``, that the manifest lists (``manifest.json`` need not list
    itself). ``forbidden_texts`` are withheld sentences that may stand nowhere, in no case or spacing; see
    ``withheld_texts``. Raises ``ValueError`` for a ``keep`` row whose condition is not one of ``KEEP_CONDITIONS``.
    """
    report = inspect_version(folder, policy, manifest_files, forbidden_texts=forbidden_texts)
    if report.leaks:
        raise LicenseLeak(report.leaks)
    return report


def inspect_version(
    folder: Path, policy: pl.DataFrame, manifest_files: Iterable[str], *, forbidden_texts: Iterable[str] = ()
) -> GateReport:
    """As ``check_version``, but leaks are reported and not raised."""
    gate = Gate(Policy(policy), forbidden_texts)
    listed = set(manifest_files)
    present = dict(gate.files_of(folder))
    for name in present:
        if name not in listed and name != "manifest.json":
            gate.leak(name, "", "", "", "the manifest does not list this file")
    gate.look_at_files(present)
    for name in sorted(listed - present.keys()):
        gate.leak(name, "", "", "", "the manifest lists this file, but it is not there")
    return gate.report(len(present))


def check_files(
    path: Path,
    policy: pl.DataFrame,
    *,
    name: str,
    shows: Iterable[str] = (),
    numbers: Iterable[str] = (),
    headers: Mapping[str, Sequence[str]] | None = None,
    tables: Iterable[str] = (),
) -> GateReport:
    """Read an export, a folder or one file that is called ``name``; raises ``LicenseLeak`` with all leaks.

    Archives and databases are opened. One of the published ``tables`` goes by its own rows of the policy; any other
    file may hold what the columns ``shows`` may keep, a bare code only where its columns name the row's code.
    ``numbers`` names columns of delimited files that hold no codes, ``headers`` the columns of files without a header.
    """
    quotes = policy_of_quotes(policy, {ANY_FILE: shows})
    bare = (pl.col("table") == ANY_FILE) & (pl.col("condition") == "names_cpt_or_cdt_code")
    columns = [*CODE_COLUMNS, *(f"*.{c}" for c in CODE_COLUMNS), SHARED_TEXTS]
    of_codes = quotes.filter(bare).with_columns(column=pl.lit(columns)).explode("column")
    quotes = pl.concat([quotes.filter(~bare), of_codes])
    gate = Gate(Policy(quotes, frozenset(tables)), (), numbers=frozenset(numbers), headers=headers or {})
    files = list(gate.files_of(path)) if path.is_dir() else [(name, path)]
    for file, place in files:
        gate.look_at_file(place, file)
    report = gate.report(len(files))
    if report.leaks:
        raise LicenseLeak(report.leaks)
    return report


def withheld_texts(tables: Iterable[tuple[str, pl.DataFrame]], policy: pl.DataFrame) -> frozenset[str]:
    """Texts of whole, unmasked tables (name, rows) that the gate would refuse: what may be nowhere in the open tier.

    Of a description that is the AMA's or the ADA's, its beginning too, so that a cut quotation is found. A text that
    is in a place that may keep it is CMS's own, and is left out.
    """
    gate = Gate(Policy(policy), ())
    for name, whole in tables:
        gate.look_at_table(Table(name, whole.lazy(), whole.schema))
    texts = set()
    for leak in gate.leaks:
        texts.add(leak.text)
        if leak.why == FOREIGN_TEXT and len(compared_form(leak.text)) > _TELLING_START:
            texts.add(compared_form(leak.text)[:_TELLING_START])
    kept = [compared_form(text) for text in gate.kept_texts]
    long = {text: form for text in texts if len(form := compared_form(text)) >= MIN_TEXT_LETTERS}
    return frozenset(text for text, form in long.items() if not any(form in other for other in kept))
