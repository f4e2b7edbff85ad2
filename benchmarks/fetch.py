"""A first refresh of forty releases from a site on loopback, against `--from` on the same files.

    python -m benchmarks.fetch [--releases 40]

Releases are made up. Waits that are manners, the pauses between requests, are none here; both sides run in a process of
their own, in turn, and the best of a few runs counts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import machine, show

#: Tests' site and made-up releases, which are no part of the package.
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from made_up import posting, record
from release_writer import release_zip
from site_server import SiteServer

_MONTHS = {1: "january", 4: "april", 7: "july", 10: "october"}

_REFRESH = """
import os, sys
from pathlib import Path
from hcpcs.paths import Outputs
from sources.site.polling import Site
from pipeline.refresh.refresh import refresh
from sources.site.client import FetchLimits

os.environ["DAGSTER_EVENT_BATCH_SIZE"] = "1000"
outputs, how, place = sys.argv[1:]
source = {"offered": Path(place)} if how == "from" else {"site": Site(place, FetchLimits(pause=0), ())}
print(len(refresh(Outputs(Path(outputs)), **source).read))
"""


def run(releases: int = 40, codes: int = 8000, times: int = 3) -> bool:
    """Print the figures; returns whether the bound holds."""
    with tempfile.TemporaryDirectory() as scratch, SiteServer() as server:
        folder = Path(scratch) / "releases"
        make_releases(server, folder, releases, codes)
        best: dict[str, float] = {}
        for number in range(times):
            for how, place in (("from", str(folder)), ("site", server.url)):
                outputs = Path(scratch) / f"{how}-{number}"
                started = time.perf_counter()
                command = [sys.executable, "-c", _REFRESH, str(outputs), how, place]
                said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                seconds = time.perf_counter() - started
                assert int(said) == releases, f"{how}: read {said} of {releases} releases"
                best[how] = min(best.get(how, seconds), seconds)
        ratio = best["site"] / best["from"]
        show(f"refresh --from, {releases} releases of {codes} codes, seconds", f"{best['from']:.2f} s", "none", True)
        show(f"first refresh from loopback, {releases} releases, seconds", f"{best['site']:.2f} s", "none", True)
        return show("first refresh from loopback against --from", f"{ratio:.2f} x", "<= 1.20 x", ratio <= 1.2)


def make_releases(server: SiteServer, folder: Path, releases: int, codes: int) -> None:
    """Made-up quarters, newest in October 2026, as a folder and on the site."""
    records = [record(f"{'AJQ'[n % 3]}{n:04d}") for n in range(codes)]
    links = []
    for number in range(releases):
        quarter = 2026 * 4 + 3 - number
        year, month = quarter // 4, quarter % 4 * 3 + 1
        name = f"{_MONTHS[month]}-{year}-alpha-numeric-hcpcs-file.zip"
        # A code more each quarter, so that no two releases are the same.
        made = posting(f"{year}-{month:02d}", *records[: codes - number], name=name)
        path = folder / made.release_id / name
        path.parent.mkdir(parents=True)
        # Without the sample's mark: no site is asked for the sample.
        path.write_bytes(release_zip(made.members, date=made.date, comment=b""))
        server.put(f"/files/zip/{name}", path.read_bytes())
        links.append((f"/files/zip/{name}", f"{_MONTHS[month].title()} {year} Alpha-Numeric HCPCS File"))
    server.list_links(links)


def main() -> None:
    """Measure and print; exit status 1 if the bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", type=int, default=40, help="how many; 40 by default")
    releases = parser.parse_args().releases
    print(machine())
    sys.exit(0 if run(releases) else 1)


if __name__ == "__main__":
    main()
