"""One release, from its archived zips to typed records, side files and findings.

Reads bytes through the archive and nothing else; decides nothing about other releases.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import cache

import polars as pl

from schemas.contract import schema_of
from schemas.hcpcs_releases import HcpcsReleases
from sources.archive.archive import CODE_ROLES, Archive, ArchivedMember, ArchivedZip
from sources.code_file.cross_check import compare_with_witness
from sources.code_file.record_layout import RECORD_FIELDS
from sources.code_file.records import RECORD_SCHEMA, merge_findings, typed_records
from sources.code_file.text import read_anweb_text
from sources.code_file.workbook import first_sheet, read_anweb_workbook
from sources.curated.tables import load_codebook
from sources.errors import MemberError, ReleaseRefused, SourceError
from sources.findings import FINDING_SCHEMA, Finding, findings_frame
from sources.release.member_roles import UNREADABLE_ROLES, description_of
from sources.release.names import effective_day
from sources.release.revisions import Revision, postings_of, revisions_of
from sources.side_files.kinds import SIDE_SCHEMAS, read_side_files

#: Columns of the records of one release, all its revisions.
RELEASE_RECORD_SCHEMA: dict[str, pl.DataType] = {
    "release_id": pl.String(),
    "revision": pl.Int32(),
    **{name: dtype for name, dtype in RECORD_SCHEMA.items() if name != "source_line"},
    "source_member": pl.String(),
    "source_member_sha256": pl.String(),
    "source_line": pl.Int32(),
}

#: Columns of the revisions of one release.
REVISION_SCHEMA = schema_of(HcpcsReleases)


#: The bytes of members by name, for each zip by its hash.
_Contents = dict[str, dict[str, bytes]]

_codebook = cache(load_codebook)
#: What a finding calls members that are known and not read.
_UNREAD_ROLES = {"record_layout": "the record layout, ", "readme": "a read-me, "}


@dataclass(frozen=True, slots=True)
class ReleaseRead:
    """What one release states: records and findings of all revisions, a row a revision, the side files by role."""

    release_id: str
    records: pl.DataFrame
    findings: pl.DataFrame
    revisions: pl.DataFrame
    side: dict[str, pl.DataFrame]


@dataclass(frozen=True, slots=True)
class _CodeFile:
    """One code member, read."""

    member: ArchivedMember
    records: pl.DataFrame
    findings: list[Finding]
    absent: set[str]
    columns: int


@dataclass(frozen=True, slots=True)
class _Posting:
    """The code file of one zip, read: its source, its witness if it has one, and all findings."""

    chosen: _CodeFile
    witness: _CodeFile | None
    findings: list[Finding]

    @property
    def states(self) -> list[pl.DataFrame]:
        """What each form states, wherever it is."""
        files = [self.chosen, *([self.witness] if self.witness else [])]
        return [_stated(file.records) for file in files]


def read_release(archive: Archive, release_id: str, zips: list[ArchivedZip]) -> ReleaseRead:
    """Read every revision of a release from its archived zips.

    Raises ``ReleaseRefused`` with all findings where a code file breaks the record layout or cannot be read, where
    there is none, or where one zip holds two different ones.
    """
    postings = postings_of(zips)
    # A further posting with a code file that nobody can read is no less bad for the good one beside it.
    unreadable = [z for z in zips if not z.code_members and any(m.role in UNREADABLE_ROLES for m in z.members)]
    if unreadable or not postings:
        raise ReleaseRefused(release_id, [_no_code_file(archive, unreadable or zips)])
    contents = {z.sha256: {m.name: m.data for m in archive.read(z)} for z in zips}
    records, findings, rows = [], [], []
    side = sorted(
        {(m.name, m.sha256): m for z in zips for m in z.members if m not in z.code_members}.values(),
        key=lambda m: (m.name, m.sha256),
    )
    side_frames, side_findings = _read_side(contents, release_id, zips)
    side_findings += _not_read(contents, zips)
    read = {z.sha256: _read_posting(contents[z.sha256], release_id, z) for z in postings}
    for one in read.values():
        if any(f.severity == "error" for f in one.findings):
            raise ReleaseRefused(release_id, one.findings)
    revisions, order_findings = revisions_of(
        postings, {sha256: one.states for sha256, one in read.items()} if len(read) > 1 else {}
    )
    for revision in revisions:
        chosen, witness, found = (one := read[revision.zip.sha256]).chosen, one.witness, one.findings
        found = found + _copies(revision)
        if revision is revisions[-1]:
            found = order_findings + found + side_findings
        member = chosen.member
        records.append(
            chosen.records.with_columns(
                release_id=pl.lit(release_id),
                revision=pl.lit(revision.number, pl.Int32),
                source_member=pl.lit(member.name),
                source_member_sha256=pl.lit(member.sha256),
            ).select(list(RELEASE_RECORD_SCHEMA))
        )
        findings.append(findings_frame(found, release_id, revision.number))
        rows.append(_revision_row(release_id, revision, revisions[-1], chosen, witness, found, side))
    return ReleaseRead(
        release_id,
        pl.concat(records),
        pl.concat(findings).select(list(FINDING_SCHEMA)),
        pl.DataFrame(rows, schema=REVISION_SCHEMA),
        side_frames,
    )


def read_revisions(archive: Archive, release_id: str, zips: list[ArchivedZip]) -> list[Revision]:
    """The revisions of a release, oldest first; code files are read only where there are several.

    A posting that cannot be read is a revision of its own.
    """
    postings = postings_of(zips)
    states: dict[str, list[pl.DataFrame]] = {}
    for archived in postings if len(postings) > 1 else ():
        with contextlib.suppress(SourceError):
            data = {m.name: m.data for m in archive.read(archived)}
            states[archived.sha256] = _read_posting(data, release_id, archived).states
    return revisions_of(postings, states)[0]


def empty_release(release_id: str) -> ReleaseRead:
    """What stands for a release that was refused: nothing."""
    return ReleaseRead(
        release_id,
        pl.DataFrame(schema=RELEASE_RECORD_SCHEMA),
        pl.DataFrame(schema=FINDING_SCHEMA),
        pl.DataFrame(schema=REVISION_SCHEMA),
        {role: pl.DataFrame(schema=_with_release(schema)) for role, schema in SIDE_SCHEMAS.items()},
    )


def _read_side(
    contents: _Contents, release_id: str, zips: list[ArchivedZip]
) -> tuple[dict[str, pl.DataFrame], list[Finding]]:
    """The side files of all zips of the release, by role, each with the release's id."""
    by_role: dict[str, list[tuple[str, bytes]]] = {role: [] for role in SIDE_SCHEMAS}
    for archived in zips:
        for member in archived.members:
            if member.role in by_role:
                by_role[member.role].append((member.name, contents[archived.sha256][member.name]))
    frames: dict[str, pl.DataFrame] = {}
    findings: list[Finding] = []
    for role, members in by_role.items():
        frame, found = read_side_files(role, members)
        schema = _with_release(SIDE_SCHEMAS[role])
        frames[role] = frame.with_columns(release_id=pl.lit(release_id)).select(list(schema))
        findings.extend(found)
    return frames, findings


def _not_read(contents: _Contents, zips: list[ArchivedZip]) -> list[Finding]:
    """A finding of every distinct member that no reader takes, with what it looks like."""
    members = {
        (m.name, m.sha256): (m, contents[z.sha256][m.name])
        for z in zips
        for m in z.members
        if m.role not in (*CODE_ROLES, *SIDE_SCHEMAS, *UNREADABLE_ROLES)
    }
    return [
        Finding.of(
            "member_not_read",
            _UNREAD_ROLES.get(m.role, "") + description_of(m.name, data),
            m.name,
            severity="warning" if m.role == "other" else "info",
        )
        for _, (m, data) in sorted(members.items())
    ]


def _with_release(schema: dict[str, pl.DataType]) -> dict[str, pl.DataType]:
    return {"release_id": pl.String(), **schema}


def unknown_values(member: str, records: pl.DataFrame, codebook: pl.DataFrame) -> list[Finding]:
    """Coded values that the codebook does not list: one finding per field and value, the records stay as they are."""
    findings = []
    known: dict[str, list[str]] = dict(codebook.group_by("field").agg("value").iter_rows())
    for field in sorted(known.keys() & set(records.columns)):
        column = records[field].explode() if records.schema[field] == pl.List(pl.String) else records[field]
        if set(column.unique()) <= {None, *known[field]}:  # nearly always, and soon seen
            continue
        values = records.select("code", "source_line", pl.col(field).alias("value"))
        if values.schema["value"] == pl.List(pl.String):
            values = values.explode("value")
        unknown = values.filter(pl.col("value").is_not_null() & ~pl.col("value").is_in(known[field]))
        for (value,), rows in sorted(unknown.group_by("value"), key=lambda group: str(group[0][0])):
            one = rows.height == 1
            findings.append(
                Finding.of(
                    "unknown_value",
                    f"{field} {value!r} of {rows.height} record{'' if one else 's'} is not in CMS's record layout",
                    member,
                    rows["source_line"].min(),  # type: ignore[arg-type]
                    code=rows["code"][0] if one else None,
                    field=field,
                    raw_value=str(value),
                    occurrences=rows.height,
                    examples=tuple(rows["code"].head(5)),
                )
            )
    return findings


def _read_posting(data: dict[str, bytes], release_id: str, archived: ArchivedZip) -> _Posting:
    """Read the code file of one zip's members: its source, its witness if it has one, and all findings."""
    findings: list[Finding] = []
    texts = [_read_code_file(m, data[m.name]) for m in archived.code_members if m.role == "code_text"]
    text = _only_one(texts, findings)
    workbooks = []
    for m in (m for m in archived.code_members if m.role == "code_workbook"):
        try:
            workbooks.append(_read_code_file(m, data[m.name]))
        except MemberError as error:  # the look inside succeeded, the reading did not
            findings.append(Finding.of("unreadable_member", str(error), m.name, severity="error", action="refused"))
    workbook = _only_one(workbooks, findings)
    for m in archived.members:
        if m.role in UNREADABLE_ROLES:
            message = "is named like a code file and cannot be read as one"
            findings.append(
                Finding.of("unreadable_member", message, m.name, action="left out: another member is the code file")
            )
    chosen = text or workbook
    if chosen is None:
        raise ReleaseRefused(release_id, findings)
    findings = chosen.findings + findings
    witness = workbook if text is not None else None
    if text is not None and witness is not None:
        # What is wrong with a witness alone refuses nothing.
        findings += [f for f in witness.findings if f.finding in ("digits_lost", "retyped_value")]
        findings += [
            replace(f, severity="warning", action="ignored: the text is the source")
            for f in witness.findings
            if f.severity == "error"
        ]
        findings += compare_with_witness(text.records, witness.records, witness.absent, witness.member.name)
    findings += unknown_values(chosen.member.name, chosen.records, _codebook())
    findings += _later_dates(release_id, chosen)
    return _Posting(chosen, witness, merge_findings(findings))


def _read_code_file(member: ArchivedMember, data: bytes) -> _CodeFile:
    read = read_anweb_text if member.role == "code_text" else read_anweb_workbook
    cells, findings = read(member.name, data)
    stated = set(cells.columns)
    absent = {f.name for f in RECORD_FIELDS if not stated.issuperset(f.parts)}
    columns = max(map(len, data.splitlines()[-50:])) if member.role == "code_text" else len(stated)
    records, more = typed_records(member.name, cells)
    return _CodeFile(member, records, findings + more, absent, columns)


def _only_one(files: list[_CodeFile], findings: list[Finding]) -> _CodeFile | None:
    """The one code file of its form: several members may hold the same records, as with and without a disclaimer."""
    if not files:
        return None
    first, *others = files
    for other in others:
        if not _stated(first.records).equals(_stated(other.records)):
            message = f"the zip holds two different code files, this one and {first.member.name}"
            findings.append(Finding.of("two_code_files", message, other.member.name))
    return first


def _stated(records: pl.DataFrame) -> pl.DataFrame:
    """What records state, wherever it is: without lines, in the order of codes."""
    return records.select(c for c in RECORD_SCHEMA if c != "source_line").sort("kind", "code")


def _copies(revision: Revision) -> list[Finding]:
    """A finding of every posting that states what this revision states."""
    return [
        Finding.of(
            "posted_in_other_bytes",
            f"states the records of {', '.join(m.name for m in revision.members)} in other bytes",
            copy.code_members[0].name,
        )
        for copy in revision.copies
    ]


def _later_dates(release_id: str, file: _CodeFile) -> list[Finding]:
    """Records added or acted on after the release's quarter speak for a wrong release id."""
    limit = pl.lit(effective_day(release_id)).dt.offset_by("3mo")
    for field in ("added_date", "action_effective_date"):
        later = file.records.filter(pl.col(field) >= limit)
        if later.height:
            return [
                Finding.of(
                    "date_after_release",
                    f"{field} of {later.height} records lies after the quarter of {release_id}",
                    file.member.name,
                    later["source_line"][0],
                    code=later["code"][0],
                    field=field,
                    raw_value=str(later[field][0]),
                    occurrences=later.height,
                    examples=tuple(later["code"].head(5)),
                )
            ]
    return []


def _no_code_file(archive: Archive, zips: list[ArchivedZip]) -> Finding:
    members = [m for z in zips for m in z.members]
    for archived in zips:
        for member in archived.members:
            if member.role in UNREADABLE_ROLES:
                return Finding.of("no_code_file", _why_unreadable(archive, archived, member), member.name)
    names = ", ".join(m.name for m in members[:6])
    return Finding.of("no_code_file", f"no member is a code file (members: {names})")


def _why_unreadable(archive: Archive, archived: ArchivedZip, member: ArchivedMember) -> str:
    """What is wrong with a member that is named like a code file: what its reader says, or what it lacks."""
    if member.role == "unreadable_workbook":
        try:
            first_sheet(member.name, next(m.data for m in archive.read(archived) if m.name == member.name))
        except MemberError as error:
            return str(error).removeprefix(f"{member.name} ")
    return "is named like a code file and has neither lines of records nor a header with the cell HCPC"


def _revision_row(
    release_id: str,
    revision: Revision,
    newest: Revision,
    chosen: _CodeFile,
    witness: _CodeFile | None,
    findings: list[Finding],
    side: list[ArchivedMember],
) -> dict[str, object]:
    kinds = dict(chosen.records["kind"].value_counts().iter_rows())
    copies = {(m.name, m.sha256): m for copy in revision.copies for m in copy.code_members if m not in revision.members}
    members = [*revision.members, *(m for _, m in sorted(copies.items())), *side]
    is_text = chosen.member.role == "code_text"
    workbook = witness if is_text else chosen
    return {
        "release_id": release_id,
        "revision": revision.number,
        "effective_date": effective_day(release_id),
        "is_current": revision is newest,
        "form": ("both" if witness else "text") if is_text else "workbook",
        "procedure_count": kinds.get("procedure", 0),
        "modifier_count": kinds.get("modifier", 0),
        "finding_count": len(findings),
        "text_line_length": chosen.columns if is_text else None,
        "workbook_columns": workbook.columns if workbook else None,
        "member_names": [m.name for m in members],
        "member_roles": [m.role for m in members],
        "member_sha256s": [m.sha256 for m in members],
        "member_bytes": [m.bytes for m in members],
        "is_sample": revision.zip.is_sample,
    }
