"""Bugs made by hand, one at a time, in a copy of the repository: the tests of the place must find each of them.

    .venv/bin/python -m benchmarks.mutation [WORD ...]

With words, only the bugs whose file or text has one of them. Exit status 1 where a bug survives.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parent.parent

_EPISODES = ("tests/pipeline/transforms/test_episodes.py",)
_HISTORY = ("tests/pipeline/transforms/test_history.py",)
_CHANGES = ("tests/pipeline/transforms/test_changes.py",)
_CROSSWALK = ("tests/pipeline/transforms/test_crosswalk.py",)
_LICENSES = ("tests/pipeline/transforms/test_licenses.py",)
_GATE = ("tests/pipeline/license_gate",)
_ANNOTATE = ("tests/hcpcs/test_annotate.py", "tests/hcpcs/test_claims_values.py")
_CODES = ("tests/hcpcs/test_codes.py", "tests/hcpcs/test_claims_values.py")


class Bug(NamedTuple):
    """A text that is replaced by another one in a file, and the tests that must fail then."""

    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]


_EPISODES_FILE, _HISTORY_FILE = "pipeline/transforms/episodes.py", "pipeline/transforms/history.py"
_CHANGES_FILE, _CROSSWALK_FILE = "pipeline/transforms/changes.py", "pipeline/transforms/crosswalk.py"
_FLAGS_FILE, _GATE_FOLDER = "pipeline/transforms/license_flags.py", "pipeline/license_gate"
_LOOKUP_FILE, _PARSING_FILE = "hcpcs/annotate/lookup.py", "hcpcs/annotate/parsing.py"

BUGS = [
    # Where a meaning ends and another one begins.
    Bug(_EPISODES_FILE, 'later & (pl.col("_added") > pl.col("_previous_end"))', "later", _EPISODES),
    Bug(
        _EPISODES_FILE,
        'pl.col("_added") >= pl.col("_absent_day")',
        'pl.col("_added") > pl.col("_absent_day")',
        _EPISODES,
    ),
    Bug(
        _EPISODES_FILE, 'later & (pl.col("_added") > release_day', 'later & (pl.col("_added") < release_day', _EPISODES
    ),
    Bug(
        _EPISODES_FILE, "return max(scores, default=100.0) / 100", "return min(scores, default=100.0) / 100", _EPISODES
    ),
    Bug(
        _EPISODES_FILE,
        'pl.when(matched).then(pl.col("_override"))',
        'pl.when(~matched).then(pl.col("_override"))',
        _EPISODES,
    ),
    # On which days it was valid.
    Bug(_HISTORY_FILE, '(action_day > pl.col("previous_day"))', '(action_day >= pl.col("previous_day"))', _HISTORY),
    Bug(_HISTORY_FILE, 'before["next_day"] - _DAY)', 'before["next_day"])', _HISTORY),
    Bug(
        _HISTORY_FILE,
        '(pl.col("resumes") > pl.col("ended_before") + _DAY)',
        '(pl.col("resumes") > pl.col("ended_before"))',
        _HISTORY,
    ),
    Bug(_HISTORY_FILE, "backward_fill().forward_fill()", "forward_fill().backward_fill()", _HISTORY),
    Bug(_HISTORY_FILE, ".mean().over(years) > 0.5", ".mean().over(years) > 0.0", _HISTORY),
    Bug(
        _HISTORY_FILE,
        'pl.col("episode") == pl.col("episode").max().over(_CODE)',
        'pl.col("episode") == pl.col("episode").min().over(_CODE)',
        _HISTORY,
    ),
    # What changed.
    Bug(_CHANGES_FILE, 'pl.len().over("release_id") > 1', 'pl.len().over("release_id") > 2', _CHANGES),
    Bug(
        _CHANGES_FILE,
        '(pl.col("previous_release_id") < posted_before)',
        '(pl.col("previous_release_id") <= posted_before)',
        _CHANGES,
    ),
    Bug(_CHANGES_FILE, '.fill_null(False) & (pl.col("sequence") == _STANDING)', ".fill_null(False)", _CHANGES),
    Bug(_CHANGES_FILE, '.when(pl.col("action_code") == "R")', '.when(pl.col("action_code") == "A")', _CHANGES),
    Bug(_CHANGES_FILE, 'pl.col("episode") > pl.col("earlier_episode")', "False", _CHANGES),
    # Where a code went.
    Bug(_CROSSWALK_FILE, 'pl.col("status") == "active"', 'pl.col("status") != "active"', _CROSSWALK),
    Bug(_CROSSWALK_FILE, '~pl.col("is_withdrawn") & ', "", _CROSSWALK),
    Bug(
        _CROSSWALK_FILE,
        'pl.col("seen_from") <= pl.col("first_release")',
        'pl.col("seen_from") < pl.col("first_release")',
        _CROSSWALK,
    ),
    # Whose text it is.
    Bug(
        _FLAGS_FILE,
        '.filter(~CONDITIONS[rule["condition"]](pl.element()))',
        '.filter(CONDITIONS[rule["condition"]](pl.element()))',
        _LICENSES,
    ),
    Bug(_FLAGS_FILE, "[LICENSE_CPT, LICENSE_CDT, LICENSE_UNKNOWN]", "[LICENSE_CPT, LICENSE_CDT]", _LICENSES),
    Bug(
        f"{_GATE_FOLDER}/policy.py",
        "return not cell.is_foreign and cell.cites_cpt is not False and",
        "return cell.cites_cpt is not False and",
        _GATE,
    ),
    Bug(
        f"{_GATE_FOLDER}/as_read.py",
        "pl.Series([as_read(text) for text in odd], dtype=pl.String)",
        "odd",
        _GATE,
    ),
    Bug(f"{_GATE_FOLDER}/as_read.py", "html.unescape(text)", "text", _GATE),
    Bug(
        f"{_GATE_FOLDER}/table_gate.py",
        'pl.col("redistribution") != "withheld"',
        'pl.col("redistribution") == "none"',
        _GATE,
    ),
    Bug(f"{_GATE_FOLDER}/check.py", "sorted(listed - present.keys())", "sorted(present.keys() - listed)", _GATE),
    # What a claim's code and day mean.
    Bug(
        _LOOKUP_FILE,
        'np.searchsorted(bounds, from_day, side="right")',
        'np.searchsorted(bounds, from_day, side="left")',
        _ANNOTATE,
    ),
    Bug(_LOOKUP_FILE, "periods = np.where(valid, periods, np.int32(self.periods - 1))", "pass", _ANNOTATE),
    Bug(_PARSING_FILE, "found[_are_words(ended, words, pattern, width)] = -1", "pass", _CODES),
    Bug(_PARSING_FILE, "& ~flags(pc.match_substring_regex(some, PCS))", "", _CODES),
    Bug(
        _PARSING_FILE,
        "compact = pc.if_else(pc.match_substring_regex(undotted, DIGITS), compact, undotted)",
        "compact = undotted",
        _CODES,
    ),
]


def main() -> int:
    """Try the bugs; returns how many survived, at most 1."""
    words = sys.argv[1:]
    chosen = [bug for bug in BUGS if not words or any(word in " ".join(bug[:3]) for word in words)]
    survivors = []
    with tempfile.TemporaryDirectory(prefix="hcpcs-mutation-") as scratch:
        copy = Path(scratch) / "repository"
        shutil.copytree(
            REPOSITORY, copy, ignore=shutil.ignore_patterns(".git", ".venv*", "outputs", "node_modules", "__pycache__")
        )
        shared = REPOSITORY.parent / "shared"
        if shared.exists():
            (Path(scratch) / "shared").symlink_to(shared.resolve())
        for number, bug in enumerate(chosen, 1):
            started = time.monotonic()
            found = is_found(copy, bug)
            survivors += [] if found else [bug]
            print(
                f"{number:2} of {len(chosen)}: {'found   ' if found else 'SURVIVED'} in"
                f" {time.monotonic() - started:3.0f} s: {bug.file}: {bug.right!r} -> {bug.wrong!r}",
                flush=True,
            )
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} bugs found")
    return 1 if survivors else 0


def is_found(copy: Path, bug: Bug) -> bool:
    """Whether the bug's tests fail with it; raises ``ValueError`` where they cannot run or the text is not there."""
    path = copy / bug.file
    text = path.read_text("utf-8")
    if bug.right not in text:
        raise ValueError(f"{bug.file} has no text {bug.right!r}: the bug is written for an older form of it")
    path.write_text(text.replace(bug.right, bug.wrong, 1), "utf-8")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not slow", *bug.tests],
            cwd=copy,
            env=os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
        )
    finally:
        path.write_text(text, "utf-8")
    if done.returncode not in (0, 1):
        raise ValueError(f"the tests of {bug.file} cannot run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 1


if __name__ == "__main__":
    sys.exit(main())
