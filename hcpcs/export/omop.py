"""``hcpcs export --omop``: the codes as an OMOP vocabulary, and the newest release for OHDSI's HCPCS loader.

The ids are a function of kind, code and episode alone, so that they are the same in every version.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.compute as pc
import pyarrow.csv

from hcpcs.errors import HcpcsError
from hcpcs.export.notice import license_notice
from hcpcs.export.registry import ExportFormat
from hcpcs.version import Version
from hcpcs.version_files import Rows

#: OMOP leaves the ids from here on to others than OHDSI.
_FIRST_ID = 2_000_000_000
#: How many ids an episode takes: 360,000 codes, then 1,296 modifiers, then what the vocabulary itself needs.
_EPISODE_IDS, _MODIFIER_IDS, _METADATA_IDS = 400_000, 370_000, 380_000
_LAST_ID = 2**31 - 1
_OPEN = date(2099, 12, 31)
_BEGIN = date(1970, 1, 1)
#: A cross-reference that names a code or modifier of HCPCS; CMS also writes words there.
_TARGET = re.compile(r"[A-Z][0-9]{4}|[0-9A-Z]{2}")
_NAME, _SYNONYM, _STAGE_TEXT, _STAGE_TARGETS = 255, 1000, 4000, 5
_REPLACED_BY, _REPLACES = "Concept replaced by", "Concept replaces"
#: Where OHDSI's loader puts the codes of a letter before it looks at single codes; modifiers it observes.
_DOMAIN_OF_LETTER = dict.fromkeys("ABCEKLV", "Device") | dict.fromkeys("JQ", "Drug") | {"P": "Measurement"}
_OTHER_DOMAIN, _MODIFIER_DOMAIN = "Procedure", "Observation"
_VOCABULARIES = {"HCPCS": "Healthcare Common Procedure Coding System (CMS)", "None": "OMOP vocabulary of metadata"}
_REFERENCE = "https://www.cms.gov/medicare/coding-billing"
_DOMAINS = ("Device", "Drug", "Measurement", "Metadata", "Observation", "Procedure")
_CLASSES = ("HCPCS", "HCPCS Modifier", "Metadata")
_METADATA = (*_VOCABULARIES, *_DOMAINS, *_CLASSES, _REPLACED_BY, _REPLACES, "English language")


def concept_id(kind: str, code: str, episode: int) -> int:
    """The id of what a code meant in an episode; raises ``HcpcsError`` for a code that no id is set aside for."""
    number = None
    if kind == "procedure" and re.fullmatch(r"[0-9A-Z][0-9]{4}", code):
        number = int(code[0], 36) * 10_000 + int(code[1:])
    elif kind == "modifier" and re.fullmatch(r"[0-9A-Z]{2}", code):
        number = _MODIFIER_IDS + int(code, 36)
    found = _FIRST_ID + (episode - 1) * _EPISODE_IDS + (number or 0)
    if number is None or found > _LAST_ID:
        raise HcpcsError(
            f"no OMOP concept id is set aside for {kind} {code!r}, episode {episode}; `hcpcs history {code}`"
        )
    return found


def write_omop(version: Version, folder: Path, options: Mapping[str, str]) -> list[str]:
    """Write the vocabulary as Athena's files, and ``stage/ANWEB_V2.csv``; returns the files' names.

    Codes whose text is withheld are left out, for a concept needs a name. ``NOTICE.txt`` counts them and names what
    was cut to a column's width. Raises ``HcpcsError`` for a code that no id is set aside for.
    """
    releases = [r for r in version.table("hcpcs_releases").to_pylist() if r["is_current"]]
    newest = max(releases, key=lambda release: release["release_id"])
    meanings = _meanings(version)
    named = [m for m in meanings if m["short_description"] or m["long_description"]]
    successors = _successors(version, named, newest["effective_date"])
    concepts, synonyms, cut = _metadata_concepts(), [], []
    for meaning in named:
        concept = _concept(meaning, newest["effective_date"], meaning["id"] in successors)
        concepts.append(concept)
        full = _one_line(meaning["long_description"] or "")
        if full and full != concept["concept_name"]:
            synonyms.append((concept["concept_id"], full[:_SYNONYM], _metadata_id("English language")))
            if len(full) > _SYNONYM:
                cut.append(meaning["code"])
    stage, stage_cut = _stage(version, newest)
    tables: dict[str, tuple[Iterable[str], Iterable[Iterable[Any]]]] = {
        "CONCEPT": (concepts[0], (c.values() for c in sorted(concepts, key=lambda c: c["concept_id"]))),
        "CONCEPT_RELATIONSHIP": (
            ("concept_id_1", "concept_id_2", "relationship_id", "valid_start_date", "valid_end_date", "invalid_reason"),
            _relationships(named, successors),
        ),
        "CONCEPT_SYNONYM": (("concept_id", "concept_synonym_name", "language_concept_id"), sorted(synonyms)),
        "CONCEPT_CLASS": (
            ("concept_class_id", "concept_class_name", "concept_class_concept_id"),
            ((name, name, _metadata_id(name, "class")) for name in _CLASSES),
        ),
        "DOMAIN": (
            ("domain_id", "domain_name", "domain_concept_id"),
            ((name, name, _metadata_id(name, "domain")) for name in _DOMAINS),
        ),
        "RELATIONSHIP": (
            (
                *("relationship_id", "relationship_name", "is_hierarchical", "defines_ancestry"),
                *("reverse_relationship_id", "relationship_concept_id"),
            ),
            (
                (name, name, 0, 0, reverse, _metadata_id(name))
                for name, reverse in ((_REPLACED_BY, _REPLACES), (_REPLACES, _REPLACED_BY))
            ),
        ),
        "VOCABULARY": (
            (
                *("vocabulary_id", "vocabulary_name", "vocabulary_reference"),
                *("vocabulary_version", "vocabulary_concept_id"),
            ),
            (
                (name, about, _REFERENCE, version.id, _metadata_id(name, "vocabulary"))
                for name, about in _VOCABULARIES.items()
            ),
        ),
    }
    folder.mkdir()
    for name, (header, rows) in tables.items():
        lines = ("\t".join(map(_field, row)) for row in (header, *rows))
        (folder / f"{name}.csv").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")
    (folder / "stage").mkdir()
    pyarrow.csv.write_csv(stage, folder / "stage" / "ANWEB_V2.csv")
    about = (
        f"HCPCS Level II of {newest['release_id']} as an OMOP vocabulary: {len(named):,} concepts.\n"
        f"Left out, since their text is withheld: {len(meanings) - len(named):,} codes.\n"
        f"Cut to the {_SYNONYM:,} characters of concept_synonym_name: {', '.join(cut) or 'none'}.\n"
        f"Cut to the {_STAGE_TEXT:,} characters of the loader's column: {', '.join(stage_cut) or 'none'}."
    )
    (folder / "NOTICE.txt").write_text(license_notice(version, about), encoding="utf-8")
    return [*(f"{name}.csv" for name in tables), "stage/ANWEB_V2.csv", "NOTICE.txt"]


def _meanings(version: Version) -> Rows:
    """Each code's each episode with its text, its first and last day (None while open), and its id."""
    spans: dict[tuple[str, str, int], list[tuple[date, date]]] = defaultdict(list)
    history = version.table("hcpcs_history", ["kind", "code", "episode", "valid_from", "valid_to"])
    for span in history.to_pylist():
        key = (span["kind"], span["code"], span["episode"])
        spans[key].append((span["valid_from"] or _BEGIN, span["valid_to"] or _OPEN))
    columns = ["code", "episode", "short_description", "long_description", "redistribution"]
    found = []
    for kind, table in (("procedure", "hcpcs_codes"), ("modifier", "hcpcs_modifiers")):
        for row in version.table(table, columns).to_pylist():
            days = spans.get((kind, row["code"], row["episode"]))
            if days and row["redistribution"] == "open":
                dates = {"first": min(f for f, _ in days), "last": max(t for _, t in days)}
                found.append({"kind": kind, **row, **dates, "id": concept_id(kind, row["code"], row["episode"])})
            elif days:
                found.append({"kind": kind, **row, "short_description": None, "long_description": None})
    return found


def _successors(version: Version, named: Rows, today: date) -> dict[int, list[int]]:
    """For the id of each meaning that has ended, the ids of the codes in use at the end of its chain."""
    last = {}
    for meaning in sorted(named, key=lambda m: int(m["episode"])):
        last[meaning["kind"], meaning["code"]] = meaning
    ended = {(m["kind"], m["code"], m["episode"]): m["id"] for m in named if m["last"] < today}
    found: dict[int, set[int]] = defaultdict(set)
    for row in version.table("hcpcs_crosswalk").to_pylist():
        source = ended.get((row["kind"], row["code"], row["episode"]))
        follows = row["relation"] == "replaced_by" and not row["is_withdrawn"] and row["chain_outcome"] == "active"
        if source is None or not follows:
            continue
        for code in row["chain_ends"] or []:
            goal = last.get((row["kind"], code))
            if goal is not None and goal["last"] >= today and goal["id"] != source:
                found[source].add(goal["id"])
    return {source: sorted(goals) for source, goals in found.items()}


def _concept(meaning: Mapping[str, Any], today: date, has_successor: bool) -> dict[str, Any]:
    long, short = _one_line(meaning["long_description"] or ""), _one_line(meaning["short_description"] or "")
    is_modifier, ended = meaning["kind"] == "modifier", meaning["last"] < today
    domain = _MODIFIER_DOMAIN if is_modifier else _DOMAIN_OF_LETTER.get(meaning["code"][0], _OTHER_DOMAIN)
    return {
        "concept_id": meaning["id"],
        "concept_name": (short if not long or (len(long) > _NAME and short) else long)[:_NAME],
        "domain_id": domain,
        "vocabulary_id": "HCPCS",
        "concept_class_id": "HCPCS Modifier" if is_modifier else "HCPCS",
        "standard_concept": None if ended else "S",
        "concept_code": meaning["code"],
        "valid_start_date": meaning["first"],
        "valid_end_date": meaning["last"],
        "invalid_reason": ("U" if has_successor else "D") if ended else None,
    }


def _metadata_concepts() -> Rows:
    named = [(name, "vocabulary") for name in _VOCABULARIES]
    named += [(name, "domain") for name in _DOMAINS] + [(name, "class") for name in _CLASSES]
    named += [(_REPLACED_BY, ""), (_REPLACES, ""), ("English language", "")]
    return [
        {
            "concept_id": _metadata_id(name, what),
            "concept_name": name,
            "domain_id": "Metadata",
            "vocabulary_id": "None",
            "concept_class_id": "Metadata",
            "standard_concept": None,
            "concept_code": f"{what} {name}".strip(),
            "valid_start_date": _BEGIN,
            "valid_end_date": _OPEN,
            "invalid_reason": None,
        }
        for name, what in named
    ]


def _metadata_id(name: str, what: str = "") -> int:
    """The id of a concept that the vocabulary's own tables need; a name may be a domain and a class."""
    offset = {"vocabulary": 0, "domain": 100, "class": 200, "": 300}[what]
    return _FIRST_ID + _METADATA_IDS + offset + _METADATA.index(name)


def _relationships(named: Rows, successors: Mapping[int, list[int]]) -> list[tuple[Any, ...]]:
    ends = {m["id"]: m["last"] for m in named}
    rows: list[tuple[Any, ...]] = []
    for source, goals in successors.items():
        since = ends[source] + timedelta(days=1)
        for goal in goals:
            rows.append((source, goal, _REPLACED_BY, since, _OPEN, None))
            rows.append((goal, source, _REPLACES, since, _OPEN, None))
    return sorted(rows, key=lambda row: row[:3])


def _stage(version: Version, newest: Mapping[str, Any]) -> tuple[pyarrow.Table, list[str]]:
    """The newest release as ``sources.anweb_v2`` has it, and the codes whose text is longer than that column."""
    records = version.table("hcpcs_release_records")
    mine = pc.and_(
        pc.equal(records["release_id"], newest["release_id"]),
        pc.equal(records["redistribution"], pyarrow.scalar("open")),
    )
    records = records.filter(mine).sort_by([("code", "ascending")])
    targets = [[t for t in ts or [] if _TARGET.fullmatch(t)] for ts in records["crosswalk_targets"].to_pylist()]
    texts = records["long_description"]
    long = [
        code
        for code, length in zip(records["code"].to_pylist(), pc.utf8_length(texts).to_pylist(), strict=True)
        if (length or 0) > _STAGE_TEXT
    ]
    crossed = {
        f"xref{n + 1}": pyarrow.array([t[n] if len(t) > n else None for t in targets], pyarrow.string())
        for n in range(_STAGE_TARGETS)
    }
    rows = len(records)
    year = newest["effective_date"].year
    table = pyarrow.table(
        {
            "hcpc": records["code"],
            "long_description": pc.utf8_slice_codeunits(texts, 0, _STAGE_TEXT),
            "short_description": records["short_description"],
            **crossed,
            "betos": records["betos_code"],
            "add_date": records["added_date"],
            "act_eff_dt": records["action_effective_date"],
            "term_dt": records["termination_date"],
            "vocabulary_date": pyarrow.array([newest["effective_date"]] * rows, pyarrow.date32()),
            "vocabulary_version": pyarrow.array([f"{year} Alpha Numeric HCPCS File"] * rows),
        }
    )
    return table, long


def _one_line(text: str) -> str:
    """The text without what would end a field or a line of a tab-separated file."""
    return " ".join(text.split())


def _field(value: Any) -> str:
    """A value as Athena writes it: null is empty, and a day has no hyphens."""
    if isinstance(value, date):
        return f"{value:%Y%m%d}"
    return "" if value is None else str(value)


FORMAT = ExportFormat(
    name="omop",
    summary="an OMOP vocabulary as Athena's files, and the input of OHDSI's HCPCS loader",
    is_folder=True,
    write=write_omop,
    shows=(
        *(
            f"{table}.{c}"
            for table in ("hcpcs_codes", "hcpcs_modifiers")
            for c in ("code", "short_description", "long_description")
        ),
        "hcpcs_crosswalk.chain_ends",
        *(
            f"hcpcs_release_records.{c}"
            for c in ("code", "short_description", "long_description", "crosswalk_targets", "betos_code")
        ),
    ),
)
