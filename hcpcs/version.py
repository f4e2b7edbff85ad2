"""Reading a published version: what the command line's questions need, by pyarrow alone so that they answer at once."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow

from hcpcs.errors import HcpcsError
from hcpcs.manifest import NAME, OPEN, Manifest, require_tier, tier_of
from hcpcs.paths import Outputs
from hcpcs.version_files import VERSION_ID, FileDamaged, LatestPointer, NothingPublished, Rows, read_parquet

_FINDING = {"finding", "severity", "member", "line", "code", "field", "raw_value", "message", "action", "occurrences"}


@dataclass(frozen=True)
class Version:
    """A published version in a folder: its manifest and its tables, as Arrow."""

    folder: Path
    #: The temporary folder that it was fetched into, which goes with it.
    fetched_into: Any = field(default=None, repr=False, compare=False)

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest, checked against its seal; raises ``ManifestDamaged``."""
        if not (self.folder / NAME).is_file():
            raise HcpcsError(
                f"{self.folder} is not a version: it has no {NAME}; `hcpcs versions` lists the published versions"
            )
        return Manifest.from_json((self.folder / NAME).read_bytes(), str(self.folder))

    @property
    def id(self) -> str:
        """The version's id, such as 2025.10.1."""
        return self.manifest.build.version

    @cached_property
    def paths(self) -> dict[str, Path]:
        """The Parquet file of every published table."""
        return {table: self.folder / name for table, name in self.manifest.content.tables.items()}

    def table(self, name: str, columns: list[str] | None = None) -> pyarrow.Table:
        """A published table, sorted by its key; raises ``HcpcsError`` for a table that the version does not have.

        >>> hcpcs.open().table("licenses", columns=["license_id"]).num_columns
        1
        """
        if name not in self.paths:
            raise HcpcsError(f"version {self.id} has no table {name!r}; it has {', '.join(sorted(self.paths))}")
        return read_parquet(self.paths[name], columns)

    def lookup(self, code: str, on: date | str | None = None) -> Any:
        """What a code or modifier means: a dictionary for each episode in its latest state, or its meaning on a day.

        With ``on``: ``span`` (None where it was not valid), and the spans ``before`` and ``after``. Raises
        ``HcpcsError`` where no loaded release has the code.

        >>> hcpcs.open().lookup("J0570", on="2014-06-30")["span"] is None
        True
        """
        from hcpcs.lookup import code_on_day, code_states

        return code_states(self.folder, code) if on is None else code_on_day(self.folder, code, day_of(on))

    def history(self, code: str) -> dict[str, Any]:
        """A code's episodes with their spans, changes and successors; raises ``HcpcsError`` for an unknown code.

        >>> [one["episode"] for one in hcpcs.open().history("J0570")["episodes"]]
        [1, 2]
        """
        from hcpcs.lookup import history_of

        return history_of(self.folder, code)

    def as_of(self, day: date | str) -> pyarrow.Table:
        """The codes and modifiers that were valid on a day, with their descriptions then, as rows of ``hcpcs_history``.

        >>> "J0570" in hcpcs.open().as_of("2018-06-30")["code"].to_pylist()
        True
        """
        from hcpcs.lookup import spans_on_day

        return spans_on_day(self.folder, day_of(day))

    def search(self, words: str) -> Rows:
        """The newest wording of each episode whose description, of any time, has all the words.

        >>> {row["code"] for row in hcpcs.open().search("rod skin")}
        {'J0570'}
        """
        from hcpcs.lookup import search

        return search(self.folder, words)

    def changes(self, release: str | None = None, *, since: str | None = None) -> pyarrow.Table:
        """Rows of ``hcpcs_changes``: of one release, of those after the release ``since``, or all.

        A release is named by its id (YYYY-MM), by the id of the version that it made the newest, or by ``latest``.
        Raises ``HcpcsError`` for one that is not loaded.

        >>> hcpcs.open().changes(since="latest").num_rows
        0
        """
        import pyarrow.compute

        from hcpcs.lookup import require_loaded

        changes = self.table("hcpcs_changes")
        for named, keep in ((release, pyarrow.compute.equal), (since, pyarrow.compute.greater)):
            if named is not None:
                changes = changes.filter(keep(changes["release_id"], require_loaded(self.folder, named)))
        return changes

    def classify(self, values: Any, on: date | str | None = None) -> Any:
        """What each code is by its format: code system, section, family, license, and what else it may be.

        ``values``: a list (answered by a list of dictionaries), or a column of polars, pandas or PyArrow (answered by
        a frame of theirs, in pandas with the column's index). Raises ``TypeError`` for what is no text.

        >>> [row["code_system"] for row in hcpcs.open().classify(["99213", "j1100"])]
        ['cpt-category-1', 'hcpcs-level-2']
        """
        from hcpcs.classify import TABLES, Classifier
        from hcpcs.frames import like, texts_of

        distinct = texts_of(values).dictionary_encode(null_encoding="encode")
        found = Classifier(*map(self.table, TABLES)).read(distinct.dictionary, None if on is None else day_of(on))
        return like(values, found.take(distinct.indices))

    def check(self, codes: Any, on: date | str, since: str | None = None) -> Any:
        """What `hcpcs check` answers: what each code or modifier is on a day, what replaced it, and what has changed.

        Codes and answer as for ``classify``, columns as for ``hcpcs.check.check_codes``. ``since`` (a release, named
        as for ``changes``) asks for the changes after it; raises ``HcpcsError`` for one that is not loaded.

        >>> hcpcs.open().check(["J0570-JW"], on="2014-06-30")[0]["status"]
        'expired'
        """
        from hcpcs.check import check_codes, table_of_checks
        from hcpcs.frames import like, texts_of

        distinct = texts_of(codes).dictionary_encode(null_encoding="encode")
        rows = check_codes(self.folder, distinct.dictionary.to_pylist(), day=day_of(on), since=since)
        return like(codes, table_of_checks(rows).take(distinct.indices))

    def annotate(self, frame: Any, *, code: str | Sequence[str], on: date | str | None = None, **options: Any) -> Any:
        """A frame with the columns of `hcpcs annotate` added, in the caller's kind; rows keep their order.

        ``frame``: of polars (eager or lazy, which is collected), pandas, PyArrow, DuckDB, or whatever exports an Arrow
        stream. ``code``, ``date`` or ``on``, and ``modifiers``, ``columns``, ``redact``, ``date_else``,
        ``date_formats``, ``nulls``: as for ``hcpcs.annotate.engine.annotate``. Raises ``HcpcsError`` for columns that
        cannot be used, ``TypeError`` for what is no frame.

        >>> claims = pyarrow.table({"code": ["J0570", "99213"], "day": ["2018-06-30", "2018-06-30"]})
        >>> hcpcs.open().annotate(claims, code="code", date="day")["code_status_on_date"].to_pylist()
        ['valid', 'not_loaded']
        """
        from hcpcs.annotate.in_memory import annotate_frame

        day = None if on is None else day_of(on)
        return annotate_frame(frame, version=self.folder, code=code, on=day, **options)


def open_version(outputs: Outputs, named: str | None = None) -> Version:
    """The version that ``named`` names, as for ``found_version``; what is fetched goes with the version object."""
    if named is None or not is_remote(named):
        return Version(version_folder(outputs, named))
    from hcpcs.remote import fetch_version

    scratch = tempfile.TemporaryDirectory(prefix="hcpcs-version-")
    folder = fetch_version(named, Path(scratch.name))
    require_tier(tier_of(folder), OPEN, named)
    return Version(folder, scratch)


def day_of(day: date | str) -> date:
    """A day, or text of the form YYYY-MM-DD, as a date; raises ``ValueError`` for any other text."""
    if isinstance(day, str):
        try:
            return datetime.strptime(day, "%Y-%m-%d").date()
        except ValueError:
            raise ValueError(f"{day!r} is not a date in the format YYYY-MM-DD") from None
    return day.date() if isinstance(day, datetime) else day


def latest_version(outputs: Outputs) -> str | None:
    """The id of the newest version, or None before the first; raises ``FileDamaged``."""
    try:
        data = outputs.latest.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return LatestPointer.from_json(data, str(outputs.latest)).version
    except FileDamaged as error:
        raise FileDamaged(f"{error}; `hcpcs refresh --offline` repairs it") from None


def refused_findings(outputs: Outputs) -> dict[str, Rows]:
    """The findings of each release that refreshes refused; raises ``FileDamaged``."""
    try:
        refused = json.loads(outputs.refused.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        refused = None
    rows = refused.values() if isinstance(refused, dict) else [None]
    if not all(
        isinstance(found, list) and all(isinstance(f, dict) and f.keys() >= _FINDING for f in found) for found in rows
    ):
        raise FileDamaged(f"{outputs.refused} is damaged; the next `hcpcs refresh` writes it anew")
    loaded: dict[str, Rows] = refused
    return loaded


@contextmanager
def found_version(outputs: Outputs, named: str | None = None, tier: str | None = OPEN) -> Iterator[Path]:
    """The folder of the version that ``named`` names, fetched into a temporary folder where it is a URL.

    ``named`` is a version's id, ``latest``, the folder of a version, a folder of outputs, a published target, or the
    URL of a version or target (``file://``, ``s3://``, ``gs://``, ``az://``, ``https://``); by default the latest
    version of ``outputs``. Raises ``NothingPublished`` where there is none, ``TierRefused`` for one of another
    ``tier`` than the one wanted (None: either).
    """
    if named is not None and is_remote(named):
        from hcpcs.remote import fetch_version

        with tempfile.TemporaryDirectory(prefix="hcpcs-version-") as scratch:
            folder = fetch_version(named, Path(scratch))
            require_tier(tier_of(folder), tier, named)
            yield folder
    else:
        yield version_folder(outputs, named, tier)


def is_remote(named: str) -> bool:
    """Whether a version's name is a URL that is not a file's."""
    return "://" in named and not named.startswith("file://")


def version_folder(outputs: Outputs, named: str | None = None, tier: str | None = OPEN) -> Path:
    """The folder of a version on this machine, named and refused as for ``found_version``."""
    if named is None or named == "latest":
        chosen = latest_version(outputs)
        if chosen is None:
            raise NothingPublished(
                f"{outputs.folder} has no version yet; `hcpcs refresh --from DIR` publishes the first"
            )
        named = chosen
    if VERSION_ID.fullmatch(named):
        folder = outputs.version(named)
        if not (folder / NAME).exists():
            raise NothingPublished(
                f"there is no version {named} in {outputs.folder}; `hcpcs versions` lists the published versions"
            )
        require_tier(tier_of(folder), tier, folder)
        return folder
    place = Path(unquote(urlsplit(named).path) if named.startswith("file://") else named)
    if not (place / NAME).is_file() and Outputs(place).latest.is_file():
        return version_folder(Outputs(place), tier=tier)
    if not (place / NAME).is_file():
        raise NothingPublished(
            f"{named} is not a version: neither an id such as 2025.10.1 nor a folder with {NAME} or latest.json;"
            " `hcpcs versions` lists the published versions"
        )
    require_tier(tier_of(place), tier, place)
    return place
