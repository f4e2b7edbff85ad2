"""Run every measurement of the main job; exit status 1 if a bound is missed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import history, parse_text, refresh
from benchmarks.measure import machine, releases_folder


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="folder", type=Path, help="folder of CMS releases; by default ../shared/cms")
    folder = releases_folder(parser.parse_args().folder)
    print(machine())
    sys.exit(0 if all([parse_text.run(folder), history.run(folder), refresh.run(folder)]) else 1)


if __name__ == "__main__":
    main()
