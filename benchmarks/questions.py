"""The questions that a person types, and the checks of a version: processor time of a cold process each.

`python -m benchmarks.questions OUTPUTS` asks the latest version of a folder of outputs; exit status 1 where a bound is
missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import machine, run_command, show
from hcpcs.paths import Outputs
from hcpcs.version import open_version

_TIMES = 5


def run(outputs: Path) -> bool:
    """Print the processor time of each command, the least of several; returns whether all bounds are kept."""
    version = open_version(Outputs(outputs.resolve()))
    releases = len({r.release_id for r in version.manifest.content.releases})
    is_small = releases <= 10
    question, catalog = (0.25, 3.0) if is_small else (0.4, 20.0)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as codes:
        codes.write("J0570 J9380 99213 A0428 G0438 0042T U0001 D0120 25 JW\n")
        codes.flush()
        commands = {
            "--help": 0.1,
            "lookup J0570": question,
            "lookup J0570 --on 2018-06-30": question,
            "history J0570": question,
            "search oil spill": question,
            f"check {codes.name}": question,
            "changes 2017-01": question,
            "classify J0570 99213": question,
            **({"verify": 1.2} if is_small else {}),
            "catalog": catalog,
        }
        holds = []
        for command, bound in commands.items():
            words = command.split()
            place = [] if command == "--help" else ["--outputs", str(outputs)]
            times = 1 if command == "catalog" else _TIMES
            seconds = min(run_command([*words, *place]).processor for _ in range(times))
            name = f"{words[0]} at {releases} releases, processor time" if place else "--help, processor time"
            holds.append(show(name, f"{seconds:.2f} s", f"<= {bound} s", seconds <= bound))
    return all(holds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outputs", type=Path, nargs="?", default=Path("outputs"), help="folder of outputs")
    print(machine())
    sys.exit(0 if run(parser.parse_args().outputs) else 1)


if __name__ == "__main__":
    main()
