"""``hcpcs verify``: whether a copy of a version is what was published. It reads the copy alone and changes nothing.

Every problem names the file. What was published is stated by the sealed manifest, byte for byte; whether that is what
today's contracts and license policy ask for is judged by ``pipeline.versions.verify_content``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hcpcs.manifest import NAME, Manifest, ManifestDamaged, VersionFile
from hcpcs.paths import Outputs
from hcpcs.version import version_folder
from pipeline.versions.published_target import fetched_version
from sources.errors import SourceError

#: Checks of what the files say, which need more than their hashes.
OF_CONTENT = ("schema", "rows", "contract", "license_gate")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one file: which check found it, the file, and what it is."""

    check: str
    file: str
    what: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What verifying found: the copy, its version, what was checked (or why not), and every problem."""

    location: str
    version: str | None
    schema_version: str | None
    files: int
    rows: int
    checks: dict[str, str]
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """The report for scripts."""
        return {"location": self.location, "version": self.version, "ok": self.ok} | asdict(self)


#: Judges what a version's files say: given its folder, its manifest, the bytes of its files that are as the manifest
#: states, and whether any other is not, says what was checked (or why not), and every problem.
Judge = Callable[[Path, Manifest, Mapping[str, bytes], bool], tuple[dict[str, str], list[Problem]]]


def verify(location: str | Path, judge: Judge | None = None) -> Verification:
    """Check the bytes of the version at ``location``: its folder, a folder of outputs (its latest), or either as a URL.

    With a ``judge`` what they say is checked as well.

    Raises ``SourceError`` where there is no version at all, ``ManifestTooNew`` for one of a newer schema. Anything
    else that is wrong is a problem in the report.
    """
    if "://" in str(location):
        with fetched_version(str(location)) as (folder, missing):
            return _verify_folder(
                folder, str(location), [Problem("files", name, what) for name, what in missing], judge
            )
    folder = Path(location)
    if not folder.exists():
        raise SourceError(f"{folder} does not exist; `hcpcs versions` lists the published versions")
    if not (folder / NAME).exists() and (folder / "latest.json").exists():
        folder = version_folder(Outputs(folder))
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a version: it is not a folder with {NAME}")
    return _verify_folder(folder, str(location), [], judge)


def _verify_folder(folder: Path, location: str, problems: list[Problem], judge: Judge | None) -> Verification:
    if not (folder / NAME).is_file():
        raise SourceError(f"{location} is not a version: it has no {NAME}")
    checks = {"manifest": "checked"}
    try:
        manifest = Manifest.from_json((folder / NAME).read_bytes(), location)
    except ManifestDamaged as error:
        damage = Problem("manifest", NAME, str(error).removeprefix(f"{location}: "))
        return Verification(location, None, None, 0, 0, checks, (damage,))
    content = manifest.content
    reported = {p.file for p in problems}
    whole: dict[str, bytes] = {}
    for name, entry in manifest.files.items():
        if name not in reported:
            data, found = _check_file(folder / name, name, entry)
            problems += found
            if data is not None:
                whole[name] = data
    problems += _extra_files(folder, manifest)
    version = manifest.build.version
    if folder.parent.name == "versions" and folder.name != version:
        problems.append(Problem("manifest", NAME, f"is that of version {version}, in the folder of {folder.name}"))
    checks |= {"files": "checked", "hashes": "checked"}
    if judge is None:
        checks |= dict.fromkeys(OF_CONTENT, "not checked: `hcpcs verify --deep` does")
    else:
        judged, found = judge(folder, manifest, whole, bool(problems))
        checks |= judged
        problems += found
    return Verification(
        location,
        version,
        content.schema_version,
        len(whole),
        sum(content.files[name].rows or 0 for name in content.tables.values() if name in whole),
        checks,
        tuple(sorted(problems, key=lambda p: (p.file, p.check, p.what))),
    )


def _check_file(path: Path, name: str, entry: VersionFile) -> tuple[bytes | None, list[Problem]]:
    """The bytes of a file that is as the manifest states, or what is wrong with it."""
    if path.is_symlink():
        return None, [Problem("files", name, "is a link and not a file")]
    if not path.is_file():
        return None, [Problem("files", name, "is missing")]
    data = path.read_bytes()
    if len(data) != entry.bytes:
        return None, [Problem("hashes", name, f"has {len(data):,} bytes, the manifest states {entry.bytes:,}")]
    found = hashlib.sha256(data).hexdigest()
    if found != entry.sha256:
        return None, [Problem("hashes", name, f"its sha256 is {found[:12]}…, the manifest states {entry.sha256[:12]}…")]
    return data, []


def _extra_files(folder: Path, manifest: Manifest) -> Iterator[Problem]:
    known = {NAME, *manifest.files}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if (path.is_symlink() or not path.is_dir()) and name not in known:
            yield Problem("files", name, "is not of this version: the manifest does not name it")
