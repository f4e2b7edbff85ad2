"""Answers to a person's questions about a published version: rows in, plain dictionaries out. Nothing here prints."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow

from hcpcs.annotate.typed_code import read_code
from hcpcs.errors import HcpcsError
from hcpcs.version_files import VERSION_ID, Rows, read_rows, read_table

_SPAN_KEY = ["kind", "code", "episode", "span_number"]
_SPAN = [
    *_SPAN_KEY,
    "valid_from",
    "valid_to",
    "valid_from_basis",
    "valid_to_basis",
    "observed_gap",
    "first_release",
    "last_release",
    "short_description",
    "long_description",
    "license_id",
    "redistribution",
]

#: What a code's history says of an episode itself.
_EPISODE = ("episode", "status", "added_date", "termination_date", "first_release", "last_release", "license_id")
#: Letters and digits are words apart: 5MG is 5 and mg.
_WORD = re.compile("[a-z]+|[0-9]+")
#: Classes of change by which a code ends.
_ENDS = ("discontinued", "purged", "vanished")
_ANSWER = [
    *("kind", "code_shape", "first_code", "last_code", "is_interval", "status", "episode", "span_number"),
    *("code_system", "undated_section_id", "steward", "license_id"),
]


class NotInReleases(HcpcsError):
    """No loaded release states the code; ``identity`` is what its format says of it."""

    def __init__(self, identity: dict[str, Any]) -> None:
        self.identity = identity
        super().__init__(identity["statement"])


def code_states(folder: Path, code: str) -> Rows:
    """Every episode of a code or modifier in its latest state; raises ``NotInReleases``."""
    wanted = normalized_code(code)
    rows = read_rows(folder, _table_of(wanted), [("code", "=", wanted)])
    if not rows:
        raise NotInReleases(code_identity(folder, wanted))
    return rows


def code_spans(folder: Path, code: str) -> Rows:
    """Every span of a code, oldest first; raises ``NotInReleases``."""
    wanted = normalized_code(code)
    rows = read_rows(folder, "hcpcs_history", [("code", "=", wanted)], columns=_SPAN)
    if not rows:
        raise NotInReleases(code_identity(folder, wanted))
    return sorted(rows, key=lambda r: r["valid_from"])


def answers_on_day(folder: Path, codes: Iterable[str], day: date) -> dict[str, dict[str, Any]]:
    """The row of ``hcpcs_validity`` that answers for each code or modifier on a day.

    A code that a release states has a row of its own, any other the interval of its format that contains it; a code
    that has the format of no code system is left out.
    """
    wanted = sorted(set(codes))
    of_day = [("kind", "in", ["procedure", "modifier"]), ("from_day", "<=", day), ("to_day", ">=", day)]
    own = [("first_code", "in", wanted), ("is_interval", "=", False), *of_day] if wanted else []
    answers = {row["first_code"]: row for row in (read_rows(folder, "hcpcs_validity", own, _ANSWER) if own else ())}
    if len(answers) == len(wanted):
        return answers
    intervals: dict[str, Rows] = {}
    for row in read_rows(folder, "hcpcs_validity", [("is_interval", "=", True), *of_day], _ANSWER):
        intervals.setdefault(row["code_shape"], []).append(row)
    for code in wanted:
        if code not in answers:
            within = [r for r in intervals.get(_shape(code), ()) if r["first_code"] <= code <= r["last_code"]]
            answers |= dict(zip([code], within, strict=False))
    return answers


def _shape(code: str) -> str:
    return re.sub("^[A-Z]", "A", re.sub("[0-9]", "#", code))


def code_identity(folder: Path, code: str, day: date | None = None) -> dict[str, Any]:
    """What the format of a code or modifier says of it on a day (by default today), whether or not a release states it.

    ``status`` is that of ``hcpcs_validity``; ``statement`` says the same in a sentence.
    """
    wanted = normalized_code(code)
    row = answers_on_day(folder, [wanted], day or date.today()).get(wanted, {})
    systems = read_rows(folder, "code_systems", [("code_system_id", "=", row.get("code_system") or "")])
    system = systems[0] if systems else {}
    sections = read_rows(folder, "code_sections", [("section_id", "=", row.get("undated_section_id") or "")])
    identity = {
        "code": wanted,
        "kind": "procedure" if len(wanted) == 5 else "modifier",
        "status": row.get("status"),
        "code_system": row.get("code_system"),
        "code_system_name": system.get("name"),
        "code_system_valid_from": system.get("valid_from"),
        "code_system_valid_to": system.get("valid_to"),
        "section_id": row.get("undated_section_id"),
        "section_name": sections[0]["name"] if sections else None,
        "steward": row.get("steward"),
        "license_id": row.get("license_id"),
    }
    return identity | {"statement": _statement(identity)}


def _statement(identity: dict[str, Any]) -> str:
    code = identity["code"]
    if identity["code_system"] is None:
        return f"no loaded release states {code!r}, and no known code system has codes of this format"
    section = f", section {identity['section_name']!r}" if identity["section_name"] else ""
    first, last = identity["code_system_valid_from"], identity["code_system_valid_to"]
    days = f", in use {f'from {first}' if first else ''}{f' until {last}' if last else ''}".replace("use  ", "use ")
    steward = "payers" if identity["steward"] == "local" else f"the {identity['steward']}"
    system = f"the format of {identity['code_system_name']}{section}{days if first or last else ''}"
    if identity["steward"] == "CMS":
        return f"no loaded release states {code!r}; it has {system}; `hcpcs search WORDS` searches descriptions"
    return (
        f"{code} has {system}. These codes belong to {steward} (license {identity['license_id']}):"
        " no CMS release can state whether this one exists or what it means"
    )


def code_on_day(folder: Path, code: str, day: date) -> dict[str, Any]:
    """What a code meant on a day.

    ``span`` (None where it was not in effect), the spans ``before`` and ``after``, ``successors`` of what had ended
    (rows of ``hcpcs_crosswalk``), and ``caution``: why the loaded releases may not decide this day, or None.
    """
    spans = code_spans(folder, code)
    code = spans[0]["code"]
    answer = answers_on_day(folder, [code], day)[code]
    meant = next((s for s in spans if all(s[name] == answer[name] for name in ("episode", "span_number"))), None)
    is_valid = answer["status"] == "valid"
    where = [("code", "=", code), ("kind", "=", answer["kind"]), ("episode", "=", answer["episode"])]
    return {
        "code": code,
        "day": day,
        "span": meant if is_valid else None,
        "before": next((s for s in reversed(spans) if s["valid_to"] is not None and s["valid_to"] < day), None),
        "after": next((s for s in spans if s["valid_from"] > day), None),
        "successors": read_rows(folder, "hcpcs_crosswalk", where) if meant and not is_valid else [],
        "caution": caution_on_day(folder, day),
    }


def spans_on_day(folder: Path, day: date) -> pyarrow.Table:
    """The rows of ``hcpcs_history`` that ``hcpcs_validity`` names as valid on a day."""
    where = [("to_day", ">=", day), ("from_day", "<=", day), ("status", "=", "valid")]
    where += [("kind", "in", ["procedure", "modifier"])]
    rows = read_rows(folder, "hcpcs_validity", where, ["kind", "first_code", "episode", "span_number"])
    valid = {tuple(row.values()) for row in rows}
    spans = read_table(folder, "hcpcs_history")
    keys = zip(*(spans[name].to_pylist() for name in _SPAN_KEY), strict=True)
    return spans.filter(pyarrow.array([key in valid for key in keys], pyarrow.bool_()))


def caution_on_day(folder: Path, day: date) -> str | None:
    """Why the loaded releases may not decide what was in effect on a day; None if the release of that day is loaded."""
    loaded = release_days(folder)
    ids = {effective: release_id for release_id, effective in loaded.items()}
    earlier, later = [d for d in ids if d <= day], [d for d in ids if d > day]
    if not earlier:
        return (
            f"the oldest loaded release is {ids[min(ids)]}: for earlier days only CMS's added dates are known,"
            " and the wording may have been different"
        )
    due = [d for d in days_of_rules(_release_rules(folder), day.year - 1, day.year) if d <= day]
    last = max(earlier)
    if not due or max(due) <= last:
        return None
    if not later:
        return f"the newest loaded release is {ids[last]}: what CMS changed after it is not known"
    return (
        f"CMS's release {max(due):%Y-%m} is not loaded: what is in effect is concluded from {ids[last]} and"
        f" {ids[min(later)]}, and may have changed in between"
    )


def release_days(folder: Path) -> dict[str, date]:
    """The loaded releases and the days on which they take effect, oldest first."""
    rows = read_rows(folder, "hcpcs_releases", columns=["release_id", "effective_date"])
    return dict(sorted((r["release_id"], r["effective_date"]) for r in rows))


def loaded_and_due(folder: Path) -> tuple[list[str], list[str]]:
    """The loaded releases, and those that CMS's calendar has between the oldest and the newest of them."""
    loaded = release_days(folder)
    first, last = min(loaded.values()), max(loaded.values())
    days = days_of_rules(_release_rules(folder), *range(first.year, last.year + 1))
    return list(loaded), sorted({*loaded, *(f"{d:%Y-%m}" for d in days if first <= d <= last)})


def days_of_rules(rules: Iterable[dict[str, Any]], *years: int) -> Iterator[date]:
    """Days of these years on which a release takes effect, by rows of ``code_system_calendar``."""
    rules = list(rules)
    for year in years:
        for rule in rules:
            day = date.fromisoformat(f"{year:04}-{rule['effective_day']}")
            if (rule["valid_from"] or day) <= day <= (rule["valid_to"] or day):
                yield day


def _release_rules(folder: Path) -> Rows:
    return read_rows(folder, "code_system_calendar", [("code_system_id", "=", "hcpcs-level-2"), ("what", "=", "all")])


def search(folder: Path, words: str) -> Rows:
    """Episodes whose descriptions, of any time, contain all the words, best first; a code typed in comes first.

    Each row is the newest span with a wording that matches, with ``episode_from``, ``episode_to`` and ``is_active`` of
    the episode, the words ``given``, and those ``searched``, which differ where the former had typos. Texts are
    compared without case, accents, punctuation, and spaces between numbers and units.
    """
    table = read_table(folder, "hcpcs_history", _SPAN)
    columns = {name: table[name].to_pylist() for name in (*_SPAN_KEY, "valid_from", "valid_to")}
    texts = list(zip(*(table[name].to_pylist() for name in ("short_description", "long_description")), strict=True))
    typed = read_code(words).code
    given = _normal_form(words).split()
    wanted = given
    found = _containing(texts, wanted)
    if wanted and not found and typed is None:
        wanted = _spelled(texts, wanted)
        found = _containing(texts, wanted)
    if typed is not None:
        found |= {place: found.get(place, False) for place, code in enumerate(columns["code"]) if code == typed}
    keys = list(zip(*(columns[name] for name in ("kind", "code", "episode")), strict=True))
    newest = {keys[place]: (place, is_whole) for place, is_whole in sorted(found.items())}
    days: dict[tuple[str, str, int], list[tuple[date, date | None]]] = {key: [] for key in newest}
    for key, first, last in zip(keys, columns["valid_from"], columns["valid_to"], strict=True):
        if key in days:
            days[key].append((first, last))
    ranked = []
    for key, (place, is_whole) in newest.items():
        spans = sorted(days[key], key=lambda d: d[0])
        row: dict[str, Any] = table.slice(place, 1).to_pylist()[0]
        row |= {"episode_from": spans[0][0], "episode_to": spans[-1][1], "is_active": spans[-1][1] is None}
        row |= {"given": " ".join(given), "searched": " ".join(wanted)}
        ranked.append(((row["code"] != typed, not row["is_active"], not is_whole, row["code"]), row))
    return [row for _, row in sorted(ranked, key=lambda pair: pair[0])]


def _normal_form(text: str) -> str:
    """A text in lower case without accents and punctuation, a blank between words, numbers and units, and around."""
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(c for c in decomposed if not unicodedata.category(c).startswith("M"))
    return f" {' '.join(_WORD.findall(text.lower()))} "


def _containing(texts: Sequence[tuple[str | None, ...]], words: list[str]) -> dict[int, bool]:
    """The places that have all the words in any of their texts, numbers only as whole words; whether all are whole."""
    found: dict[int, bool] = {}
    for place, several in enumerate(texts if words else ()):
        plain = "\n".join(text for text in several if text)
        # A word is a run of letters or of digits, which the normal form of ASCII neither joins nor parts.
        if plain.isascii() and not all(map(plain.lower().__contains__, words)):
            continue
        normal = "\n".join(map(_normal_form, plain.split("\n")))
        if all((f" {word} " if word.isdigit() else word) in normal for word in words):
            found[place] = all(f" {word} " in normal for word in words)
    return found


def _spelled(texts: Sequence[tuple[str | None, ...]], words: list[str]) -> list[str]:
    """The words, each that no text has replaced by the most similar one that some text has."""
    from difflib import get_close_matches

    distinct = {text for several in texts for text in several if text}
    known = {word for text in distinct for word in _normal_form(text).split()}
    return [
        word if word.isdigit() or word in known else next(iter(get_close_matches(word, known, n=1, cutoff=0.75)), word)
        for word in words
    ]


def history_of(folder: Path, code: str) -> dict[str, Any]:
    """A code's history: its episodes with their spans, changes and successors; raises ``NotInReleases``."""
    wanted = normalized_code(code)
    states = code_states(folder, wanted)
    spans = code_spans(folder, wanted)
    changes = read_rows(folder, "hcpcs_changes", [("code", "=", wanted)])
    targets = read_rows(folder, "hcpcs_crosswalk", [("code", "=", wanted)])
    episodes = [
        {
            **{name: state[name] for name in _EPISODE},
            "spans": [s for s in spans if s["episode"] == state["episode"]],
            "changes": [c for c in changes if c["episode"] == state["episode"]],
            "crosswalk": [t for t in targets if t["episode"] == state["episode"]],
        }
        for state in states
    ]
    return {"code": wanted, "kind": spans[0]["kind"], "episodes": episodes}


def changes_of(
    folder: Path,
    release: str,
    *,
    disagreeing: bool = False,
    codes: Iterable[str] | None = None,
    change: Iterable[str] = (),
) -> Rows:
    """A release's changes, of these codes and classes if any are given; the release is named as for ``require_loaded``.

    ``disagreeing``: only those where CMS's action code disagrees. Each row also has the code's ``description`` and, for
    a code that ended, what it is ``replaced_by``. Raises ``HcpcsError`` for a release that is not loaded, and for a
    class of changes that there is not.
    """
    where: list[tuple[str, str, Any]] = [("release_id", "=", require_loaded(folder, release))]
    if disagreeing:
        where.append(("agrees_with_cms", "=", False))
    if codes is not None:
        where.append(("code", "in", set(codes)))
    if classes := set(change):
        there = set(read_table(folder, "hcpcs_changes", ["change"])["change"].to_pylist())
        if unknown := sorted(classes - there):
            raise HcpcsError(f"there are no changes {', '.join(unknown)}; there are: {', '.join(sorted(there))}")
        where.append(("change", "in", sorted(classes)))
    rows = read_rows(folder, "hcpcs_changes", where)
    keys = ["code", "episode", "long_description", "short_description", "replaced_by"]
    changed = [("code", "in", {r["code"] for r in rows})]
    states = {
        (r["code"], r["episode"]): r
        for table in ("hcpcs_codes", "hcpcs_modifiers")
        for r in read_rows(folder, table, changed, columns=keys)
    }
    for row in rows:
        state = states.get((row["code"], row["episode"]), {})
        row["description"] = state.get("long_description") or state.get("short_description")
        row["replaced_by"] = state.get("replaced_by") if row["change"] in _ENDS else None
    return rows


def require_loaded(folder: Path, named: str) -> str:
    """The id of a loaded release, named by it, by ``latest``, or by the id of the version that it made the newest.

    Raises ``HcpcsError`` for a release that is not loaded.
    """
    loaded = release_days(folder)
    release_id = "-".join(named.split(".")[:2]) if VERSION_ID.fullmatch(named) else named
    if named == "latest":
        return max(loaded)
    if release_id not in loaded:
        raise HcpcsError(
            f"release {release_id} is not loaded; this version has {', '.join(loaded)}; `hcpcs releases` lists them"
        )
    return release_id


def code_systems(folder: Path) -> Rows:
    """The code systems: format, owner, license and days of each."""
    return read_rows(folder, "code_systems")


def code_sections(folder: Path) -> Rows:
    """The sections of the code systems: an interval of codes in each row."""
    return read_rows(folder, "code_sections")


def normalized_code(code: str) -> str:
    """A code as people type it, as CMS writes it; raises ``HcpcsError`` for what has no code's format.

    It is read by the rules of ``hcpcs.annotate.parsing``: modifiers behind it and names of code sets are cut off.
    """
    read = read_code(code).code
    if read is None:
        raise HcpcsError(
            f"{code!r} is neither a five-character code nor a two-character modifier;"
            " `hcpcs search WORDS` searches descriptions"
        )
    return read


def quoted(value: str | None) -> str:
    """An old or new value of ``hcpcs_changes`` for a person: lists without their JSON."""
    if value is None:
        return "nothing"
    if value.startswith("["):
        return ", ".join(json.loads(value)) or "nothing"
    return value


def _table_of(code: str) -> str:
    return "hcpcs_modifiers" if len(code) == 2 else "hcpcs_codes"
