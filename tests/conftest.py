"""What tests share. What a newcomer's machine may lack is reached through one fixture each, here."""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import pickle
import shutil
import sys
import uuid
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import hypothesis
import polars as pl
import pytest
import sqlalchemy
from chromium import CHROMIUM_NAMES, Window, chromium, chromium_path
from filelock import FileLock
from made_up import Posting
from memory_instance import forget_events
from playwright.sync_api import Browser, Page
from same_work import do_once
from warm_process import REPOSITORY, WarmProcess, warm_process

from hcpcs.cli.main import main
from hcpcs.manifest import Content, Manifest, json_bytes, sealed
from hcpcs.paths import Outputs
from hcpcs.version import latest_version
from pipeline.catalog.build import write_catalog
from pipeline.refresh.refresh import RefreshResult, refresh
from sources.archive.archive import CODE_ROLES
from sources.archive.zips import read_zip
from sources.code_file.records import typed_records
from sources.code_file.text import read_anweb_text
from sources.code_file.workbook import read_anweb_workbook
from sources.release.member_roles import member_role
from sources.sample import SAMPLE_FOLDER

# A busy machine is no fault of the code under test.
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")

# What is imported and collected stays until the end: to look through it for garbage at each refresh and each failed
# export takes a seventh of the tests' time.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_sessionfinish() -> None:
    gc.unfreeze()  # DuckDB reports at exit what was not collected


Made = TypeVar("Made")


def slow(*values: Any) -> list[Any]:
    """Further parameters that show the same thing again: `make test` leaves them to `make test-all`."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


def missing(what: str) -> None:
    """Skip, saying what is missing and who installs it; where `.ci/run` promised everything, fail instead."""
    if os.environ.get("HCPCS_REQUIRE_ALL"):
        pytest.fail(f"{what} is missing, and HCPCS_REQUIRE_ALL says that nothing may be")
    pytest.skip(f"{what} is not on this machine; `.ci/run` installs it, and there this test runs or fails")


#: Dagster as a user has it, with its database in a folder; tests have it in memory.
persistent_instance = dg.DagsterInstance.local_temp


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Tests build many versions: files need not survive a loss of power, nor Dagster's runs the process.

    The published sample alone is made with a persistent instance, as on a user's machine.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        forget_events(patch)
        do_once(patch)
        # A refresh freezes what is there, and would thaw it at its end.
        freeze = gc.freeze
        patch.setattr(gc, "freeze", lambda: (gc.collect(), freeze()))
        patch.setattr(gc, "unfreeze", lambda: None)
        yield


def manifest_of(folder: Path) -> dict[str, Any]:
    """The manifest of the version in ``folder``, as JSON and unchecked."""
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    return manifest


def content_of(content: dict[str, Any]) -> Content:
    """The typed record of a manifest's part ``content``, as its reader makes it."""
    build = {"version": "2000.01.1", "created_at": "2000-01-01T00:00:00+00:00"}
    return Manifest.from_json(json_bytes(sealed(content, build)), "a test").content


def files_of(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The entries of all files that a manifest names, as JSON."""
    return {**manifest["content"]["files"], **manifest["build"].get("files", {})}


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
        return manifest_of(self.folder)

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


def built_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], Made]) -> Made:
    """What ``build`` makes in a folder of this name, once for all processes that run tests; read only."""
    root = factory.getbasetemp()
    root = root.parent if os.environ.get("PYTEST_XDIST_WORKER") else root
    result = root / f"{name}.pickle"
    with FileLock(root / f"{name}.lock"):
        if not result.exists():
            (root / name).mkdir()
            result.write_bytes(pickle.dumps(build(root / name)))
        made: Made = pickle.loads(result.read_bytes())
    return made


@pytest.fixture(scope="session")
def sample_folder() -> Path:
    """The bundled sample as a folder of releases; read only."""
    return SAMPLE_FOLDER


@pytest.fixture(scope="session")
def sample(sample_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Version:
    """The published sample, made once; read only: who changes it takes ``own_sample``."""

    def build(folder: Path) -> Version:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dg.DagsterInstance, "local_temp", staticmethod(persistent_instance))
            patch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")  # as the command line has it
            return Version(Outputs(folder), refresh(Outputs(folder), offered=sample_folder))

    return built_once(tmp_path_factory, "published-sample", build)


@pytest.fixture(scope="session")
def sample_catalog(sample: Version, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The catalog of the published sample, made once; read only."""

    def build(folder: Path) -> Path:
        shutil.copytree(sample.outputs.folder, folder / "outputs", symlinks=True)
        return write_catalog(Outputs(folder / "outputs")).folder

    return built_once(tmp_path_factory, "catalog-of-the-sample", build)


# Playwright leaves an event loop running in its thread, which other tests must not find: one browser for each module.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium as the machine has it, without a window."""
    if chromium_path() is None:
        missing(f"a browser ({', '.join(CHROMIUM_NAMES)})")
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def window(browser: Browser, sample_catalog: Path) -> Window:
    """A window for the catalog of the sample."""
    return Window(browser, sample_catalog)


@pytest.fixture
def visit(window: Window) -> Iterator[Callable[..., Page]]:
    """Open an address of the catalog: nothing may be written to the console, nor asked for outside its folder."""
    window.complaints()
    yield window.open
    assert window.complaints() == []


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
    """The URL of an empty database, dropped at the end, on the PostgreSQL server that HCPCS_TEST_POSTGRES names."""
    url = os.environ.get("HCPCS_TEST_POSTGRES")
    if not url:
        missing("a PostgreSQL server (its URL in HCPCS_TEST_POSTGRES)")
    server = sqlalchemy.make_url(url)
    engine = sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT")
    name = f"hcpcs_test_{uuid.uuid4().hex}"
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    yield server.set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


def need_spark() -> None:
    """Skips where Spark or the Java runtime that it needs is missing."""
    if shutil.which("java") is None:
        missing("a Java runtime, which Spark needs,")
    if importlib.util.find_spec("pyspark") is None:
        missing("pyspark (`make spark`)")


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A session of Spark on this machine, one for all tests of a process; its JVM compiles for a quick start."""
    need_spark()
    from pyspark.sql import SparkSession

    options = {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")),
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    }
    session = SparkSession.builder.master("local[2]").config(map=options).getOrCreate()
    yield session
    session.stop()


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


@pytest.fixture(scope="session")
def real_version(shared_cms: Path, tmp_path_factory: pytest.TempPathFactory) -> Version:
    """The published version of all real releases, made once; read only."""
    return built_once(
        tmp_path_factory,
        "real-version",
        lambda folder: Version(Outputs(folder), refresh(Outputs(folder), offered=shared_cms)),
    )


@pytest.fixture(scope="session")
def real_records(shared_cms: Path) -> pl.DataFrame:
    """Records of every real release with its id, from its text where it has one, as a first revision."""
    found = []
    for folder in sorted(p for p in shared_cms.iterdir() if p.is_dir()):
        members = [m for path in sorted(folder.glob("*.zip")) for m in read_zip(path)]
        roles = {m.name: member_role(m.name, m.data) for m in members}
        files = (m for m in members if roles[m.name] in CODE_ROLES)
        member = min(files, key=lambda m: (roles[m.name] != "code_text", m.name))
        read = read_anweb_text if roles[member.name] == "code_text" else read_anweb_workbook
        records, _ = typed_records(member.name, read(member.name, member.data)[0])
        found.append(records.with_columns(release_id=pl.lit(folder.name), revision=pl.lit(1, pl.Int32)))
    return pl.concat(found)


@pytest.fixture(scope="session")
def warm() -> Iterator[WarmProcess]:
    """Runs command lines in processes of their own, without the second that Python takes to start."""
    with warm_process() as process:
        yield process
