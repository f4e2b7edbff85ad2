"""What tests share. What a newcomer's machine may lack is reached through one fixture each, here."""

from __future__ import annotations

import os
import shutil
import sys
import uuid
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import hypothesis
import polars as pl
import pytest
import sqlalchemy
from chromium import CHROMIUM_NAMES, chromium, chromium_path
from made_up import Posting
from playwright.sync_api import Browser

from hcpcs.cli.main import main
from hcpcs.paths import Outputs
from hcpcs.version import latest_version
from pipeline.catalog.build import write_catalog
from pipeline.refresh.refresh import RefreshResult, refresh
from pipeline.versions.store import read_manifest
from sources.sample import write_sample

# A busy machine is no fault of the code under test.
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")

REPOSITORY = Path(__file__).resolve().parent.parent


def missing(what: str) -> None:
    """Skip, saying what is missing and who installs it; where `.ci/run` promised everything, fail instead."""
    if os.environ.get("HCPCS_REQUIRE_ALL"):
        pytest.fail(f"{what} is missing, and HCPCS_REQUIRE_ALL says that nothing may be")
    pytest.skip(f"needs {what}: not on this machine; `.ci/run` has it, so that nothing is skipped there")


#: Dagster as a user has it, with its database in a folder; tests have it in memory.
persistent_instance = dg.DagsterInstance.from_config


def _instance_in_memory(_: str) -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Tests build many versions: files need not survive a loss of power, nor Dagster's runs the process.

    The published sample alone is made with a persistent instance, as on a user's machine.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        patch.setattr(dg.DagsterInstance, "from_config", staticmethod(_instance_in_memory))
        yield


@dataclass(frozen=True)
class Version:
    """A published version, as tests look at it."""

    outputs: Outputs
    refreshed: RefreshResult

    @property
    def id(self) -> str:
        """The version's id."""
        assert self.refreshed.published is not None
        return self.refreshed.published.version

    @property
    def folder(self) -> Path:
        """The version's folder."""
        return self.outputs.version(self.id)

    @property
    def manifest(self) -> dict[str, Any]:
        """The version's manifest."""
        return read_manifest(self.folder)

    @property
    def content(self) -> dict[str, Any]:
        """What decides whether a version is new."""
        content: dict[str, Any] = self.manifest["content"]
        return content

    def open(self, table: str) -> pl.DataFrame:
        """A table of the tier ``open``."""
        return pl.read_parquet(self.folder / "open" / f"{table}.parquet")


def published(outputs: Outputs) -> dict[str, bytes]:
    """Everything that a reader of the published versions, or the next run, goes by: path and bytes."""
    files = [p for p in outputs.versions.rglob("*") if p.is_file()]
    files += [p for p in (outputs.latest, outputs.archive / "index.json") if p.exists()]
    return {p.relative_to(outputs.folder).as_posix(): p.read_bytes() for p in files}


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled sample as a folder of releases; read only."""
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder)
    return folder


@pytest.fixture(scope="session")
def sample(sample_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Version:
    """The published sample, made once; read only: who changes it takes ``own_sample``."""
    outputs = Outputs(tmp_path_factory.mktemp("outputs"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dg.DagsterInstance, "from_config", staticmethod(persistent_instance))
        patch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")  # as the command line has it
        return Version(outputs, refresh(outputs, offered=sample_folder))


@pytest.fixture(scope="session")
def sample_catalog(sample: Version, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The catalog of the published sample, made once; read only."""
    folder = tmp_path_factory.mktemp("catalog") / "outputs"
    shutil.copytree(sample.outputs.folder, folder, symlinks=True)
    return write_catalog(Outputs(folder)).folder


# Playwright leaves an event loop running in its thread, which other tests must not find: one browser for each module.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium as the machine has it, without a window."""
    if chromium_path() is None:
        missing(f"a browser ({', '.join(CHROMIUM_NAMES)})")
    with chromium() as launched:
        yield launched


@pytest.fixture
def own_sample(sample: Version, tmp_path: Path) -> Outputs:
    """A copy of the published sample's outputs for one test to change."""
    folder = tmp_path / "outputs"
    shutil.copytree(sample.outputs.folder, folder, symlinks=True)
    assert latest_version(Outputs(folder)) == sample.id
    return Outputs(folder)


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Version]:
    """Write made-up postings into a folder and refresh from it, all into one folder of outputs or one that is named."""
    count = 0

    def build_version(*postings: Posting, into: str = "outputs", **options: Any) -> Version:
        nonlocal count
        count += 1
        offered = tmp_path / f"offered-{count}"
        for one in postings:
            one.write(offered)
        outputs = Outputs(tmp_path / into)
        return Version(outputs, refresh(outputs, offered=offered if postings else None, **options))

    return build_version


@dataclass(frozen=True)
class Said:
    """What the command line said: exit status, standard output, standard error."""

    status: int
    out: str
    err: str


@pytest.fixture
def hcpcs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Call the command line in this process, as the installed command does."""

    def call(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["hcpcs", *map(str, arguments)])
        capsys.readouterr()
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        printed = capsys.readouterr()
        return Said(status, printed.out, printed.err)

    return call


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The address of an empty database, dropped at the end, on the PostgreSQL server that HCPCS_TEST_POSTGRES names."""
    address = os.environ.get("HCPCS_TEST_POSTGRES")
    if address is None:
        missing("a PostgreSQL server (its address in HCPCS_TEST_POSTGRES)")
    server = sqlalchemy.make_url(address)
    engine = sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT")
    name = f"hcpcs_test_{uuid.uuid4().hex}"
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    yield server.set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `shared` beside the checkout, with real CMS releases and claims."""
    folder = REPOSITORY.parent / "shared"
    if not (folder / "cms").is_dir():
        missing("../shared (real CMS releases)")
    return folder


@pytest.fixture(scope="session")
def shared_cms(shared: Path) -> Path:
    """Real CMS releases, one folder each."""
    return shared / "cms"


@pytest.fixture(scope="session")
def real_members(shared_cms: Path) -> dict[str, dict[str, bytes]]:
    """Bytes of every member of the real releases: by release, then by the member's name without folders."""
    members: dict[str, dict[str, bytes]] = {}
    for path in sorted(shared_cms.glob("*/*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                members.setdefault(path.parent.name, {})[name.rsplit("/", 1)[-1]] = archive.read(name)
    return members
