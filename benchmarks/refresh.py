"""`hcpcs` in fresh processes: a refresh of real releases, what is made of it then, and a refresh of a hundred."""

from __future__ import annotations

import io
import itertools
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Cost, run_command, show
from sources.release.inspect import inspect_zip
from sources.release.member_roles import is_workbook

#: Neutral names for members, so that the made-up months are not contradicted.
_NAMES = {"code_text": "anweb.txt", "code_workbook": "anweb"}


def run(folder: Path, many: int = 100) -> bool:
    """Print the figures; returns whether all hold."""
    with tempfile.TemporaryDirectory() as scratch:
        outputs = Path(scratch) / "outputs"
        first = _refresh(folder, outputs)
        again = _refresh(folder, outputs)
        count = _staged(outputs)
        few = Path(scratch) / "few"
        for path in _zips(folder):
            (few / path.parent.name).mkdir(parents=True, exist_ok=True)
            (few / path.parent.name / path.name).symlink_to(path.resolve())
        _, added = _first_and_added(few, Path(scratch) / "outputs-few")
        part = added.processor / first.processor
        holds = [
            show(f"refresh of {count} releases, seconds", f"{first.wall:.1f} s", "< 15 s", first.wall < 15),
            show(f"refresh of {count} releases, processor time", f"{first.processor:.1f} s", "-", True),
            show(f"refresh of {count} releases, memory", f"{first.memory:.0f} MB", "< 800 MB", first.memory < 800),
            show("adding the last one, part of their processor time", f"{part:.2f} x", "<= 0.5 x", part <= 0.5),
            show("nothing new, processor time", f"{again.processor:.2f} s", "<= 0.6 s", again.processor <= 0.6),
        ]
        assert count
        catalog = run_command(["catalog", "--outputs", str(outputs)])
        verified = run_command(["verify", "--outputs", str(outputs)])
        site = sum(p.stat().st_size for p in (outputs / "catalog").rglob("*") if p.is_file()) / 1e6
        history = (outputs / "latest" / "open" / "hcpcs_history.parquet").stat().st_size / 1e6
        holds += [
            show(f"hcpcs_history of {count} releases, size", f"{history:.2f} MB", "< 4 MB", history < 4),
            show(f"verify of {count} releases, seconds", f"{verified.wall:.1f} s", "< 3 s", verified.wall < 3),
            show(f"catalog of {count} releases, seconds", f"{catalog.wall:.1f} s", "< 10 s", catalog.wall < 10),
            show(f"catalog of {count} releases, size", f"{site:.1f} MB", "< 30 MB", site < 30),
        ]
        made = repeat_releases(folder, Path(scratch) / "many", many)
        outputs = Path(scratch) / "outputs-many"
        total, added = _first_and_added(Path(scratch) / "many", outputs)
        assert _staged(outputs) == made, f"{_staged(outputs)} of {made} releases were read"
        ratio = (total.wall / (made - 1)) / (first.wall / count)
        part, memory = added.processor / total.processor, max(total.memory, added.memory)
        holds += [
            show(f"refresh of {made - 1} releases, seconds", f"{total.wall:.1f} s", "< 60 s", total.wall < 60),
            show("adding one more, part of their processor time", f"{part:.2f} x", "<= 0.25 x", part <= 0.25),
            show(f"memory of {made} releases", f"{memory:.0f} MB", "<= 1200 MB", memory <= 1200),
            show(f"time a release, {made - 1} against {count}", f"{ratio:.2f} x", "<= 1.3 x", ratio <= 1.3),
        ]
        return all(holds)


def _refresh(folder: Path, outputs: Path) -> Cost:
    # Of made-up months some lack codes that a real neighbor has.
    return run_command(["refresh", "--from", str(folder), "--outputs", str(outputs), "--accept-losses"])


def _first_and_added(folder: Path, outputs: Path) -> tuple[Cost, Cost]:
    """What a first refresh costs of all releases of a folder but the newest, and then one with that."""
    newest = max(folder.iterdir())
    waiting = newest.rename(folder.with_name(f"{folder.name}-newest"))
    first = _refresh(folder, outputs)
    waiting.rename(newest)
    return first, _refresh(folder, outputs)


def _staged(outputs: Path) -> int:
    return len(list((outputs / "work" / "staged_records").glob("*.parquet")))


def _zips(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.zip"))


def repeat_releases(folder: Path, target: Path, count: int) -> int:
    """Repeat real releases under made-up months after their own, until there are ``count``; returns how many."""
    real: dict[str, list[Path]] = {}
    for path in _zips(folder):
        real.setdefault(inspect_zip(path, folder=path.parent.name).release_id, []).append(path)
    months = sorted(real)
    shares = dict(zip(months, _shares(months, count), strict=True))
    made = 0
    for release_id, share in shares.items():
        for month in itertools.islice(_months_from(release_id), share):
            for path in real[release_id]:
                _copy_under_neutral_names(
                    path, target / month / f"{made}-{path.stem.lower().translate(_NO_DIGITS)}.zip"
                )
            made += 1
    return made


_NO_DIGITS = {ord(d): None for d in "0123456789"}


def _shares(months: list[str], count: int) -> list[int]:
    """How many made-up releases each real one gives, where the next one's month leaves room."""
    room = [_number(b) - _number(a) for a, b in itertools.pairwise(months)] + [count]
    shares = [1] * len(months)
    while sum(shares) < count:
        for i in range(len(shares)):
            if shares[i] < room[i] and sum(shares) < count:
                shares[i] += 1
    return shares


def _number(month: str) -> int:
    return int(month[:4]) * 12 + int(month[5:]) - 1


def _months_from(release_id: str) -> Iterator[str]:
    for number in itertools.count(_number(release_id)):
        yield f"{number // 12:04d}-{number % 12 + 1:02d}"


def _copy_under_neutral_names(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    roles = {m.name: m.role for m in inspect_zip(path, stated=None, folder=path.parent.name).members}
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as copy:
        copy.comment = target.parent.name.encode()  # without it, the same zip would be one release's alone
        for name in source.namelist():
            stem = _NAMES.get(roles.get(name, ""), Path(name).name)
            content = source.read(name)
            if is_workbook(name, content):
                content = _as_another_workbook(content, copy.comment)
            copy.writestr(stem if "." in stem else stem + Path(name).suffix, content)


def _as_another_workbook(content: bytes, mark: bytes) -> bytes:
    """The same sheets in other bytes: what is read of one is kept, and no two of CMS's workbooks are the same."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return content + mark.ljust(512)  # a sector that nothing points at
    book = io.BytesIO(content)
    with zipfile.ZipFile(book, "a") as parts:
        parts.comment = mark
    return book.getvalue()
