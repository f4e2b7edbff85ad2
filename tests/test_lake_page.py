"""docs/exports/lake.md: its code registers the published Parquet in Delta Lake and Iceberg, and copies nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import REPOSITORY, Version
from engines import engines_python

from pipeline.versions.verify_content import verify_deeply

PAGE = (REPOSITORY / "docs" / "exports" / "lake.md").read_text("utf-8")


@pytest.mark.slow
def test_the_pages_code_registers_every_table_and_copies_no_file(sample: Version, tmp_path: Path) -> None:
    # A copy in the test's own folder: hard links want one file system, and the sample is read only.
    version = tmp_path / "outputs" / "versions" / sample.id
    shutil.copytree(sample.folder, version)
    (tmp_path / "outputs" / "latest").symlink_to(Path("versions") / sample.id)
    script = tmp_path / "page.py"
    script.write_text("\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)), "utf-8")
    command = [engines_python("deltalake", "pyiceberg"), script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = sample.open("hcpcs_history").height
    assert [line for line in done.stdout.splitlines() if line.startswith(("Delta", "Iceberg"))] == [
        f"Delta Lake {rows}",
        f"Iceberg {rows}",
        f"Iceberg, replaced {rows}",
    ]
    published = {path.stat().st_ino for path in (version / "open").iterdir()}
    data = [path for path in (tmp_path / "lake").rglob("*.parquet") if "_delta_log" not in path.parts]
    assert {path.stat().st_ino for path in data} == published
    assert verify_deeply(version).ok
