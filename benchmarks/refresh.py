"""`hcpcs` in fresh processes: a refresh of real releases, what is made of it then, and a refresh of a hundred."""

from __future__ import annotations

import io
import itertools
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import run_command, show
from sources.release.inspect import inspect_zip
from sources.release.member_roles import is_workbook

#: Neutral names for members, so that the made-up months are not contradicted.
_NAMES = {"code_text": "anweb.txt", "code_workbook": "anweb"}


def run(folder: Path, many: int = 100) -> bool:
    """Print the figures; returns whether all hold."""
    with tempfile.TemporaryDirectory() as scratch:
        outputs = Path(scratch) / "outputs"
        first, memory = run_command(["refresh", "--from", str(folder), "--outputs", str(outputs)])
        again, _ = run_command(["refresh", "--from", str(folder), "--outputs", str(outputs)])
        count = len(list((outputs / "work" / "staged_records").glob("*.parquet")))
        holds = [
            show(f"refresh of {count} releases, seconds", f"{first:.1f} s", "< 15 s", first < 15),
            show(f"refresh of {count} releases, memory", f"{memory:.0f} MB", "< 800 MB", memory < 800),
            show("refresh with nothing new, seconds", f"{again:.2f} s", "< 5 s", again < 5),
        ]
        assert count
        catalog, _ = run_command(["catalog", "--outputs", str(outputs)])
        verified, _ = run_command(["verify", "--outputs", str(outputs)])
        site = sum(p.stat().st_size for p in (outputs / "catalog").rglob("*") if p.is_file()) / 1e6
        history = (outputs / "latest" / "open" / "hcpcs_history.parquet").stat().st_size / 1e6
        holds += [
            show(f"hcpcs_history of {count} releases, size", f"{history:.2f} MB", "< 4 MB", history < 4),
            show(f"verify of {count} releases, seconds", f"{verified:.1f} s", "< 3 s", verified < 3),
            show(f"catalog of {count} releases, seconds", f"{catalog:.1f} s", "< 10 s", catalog < 10),
            show(f"catalog of {count} releases, size", f"{site:.1f} MB", "< 30 MB", site < 30),
        ]
        repeated = Path(scratch) / "many"
        made = repeat_releases(folder, repeated, many)
        total, memory = run_command(
            ["refresh", "--from", str(repeated), "--outputs", str(Path(scratch) / "outputs-many")]
        )
        staged = len(list((Path(scratch) / "outputs-many" / "work" / "staged_records").glob("*.parquet")))
        assert staged == made, f"{staged} of {made} releases were read"
        ratio = (total / made) / (first / count)
        holds += [
            show(f"refresh of {made} releases, seconds", f"{total:.1f} s", "< 60 s", total < 60),
            show(f"refresh of {made} releases, memory", f"{memory:.0f} MB", "< 2000 MB", memory < 2000),
            show(f"time a release, {made} against {count}", f"{ratio:.2f} x", "<= 1.3 x", ratio <= 1.3),
        ]
        return all(holds)


def repeat_releases(folder: Path, target: Path, count: int) -> int:
    """Repeat real releases under made-up months after their own, until there are ``count``; returns how many."""
    real: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.zip")):
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
