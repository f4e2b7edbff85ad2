"""Rules of publishing elsewhere: whole or not at all, resumable, never over another's; on a real S3 protocol."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY, Version, files_of, slow
from servers import s3_server, served

from hcpcs.manifest import json_bytes, sealed
from hcpcs.paths import Outputs
from pipeline.versions.object_store import ObjectStore, TargetRefused
from pipeline.versions.published_target import LATEST
from pipeline.versions.upload import VersionExists, publish_to
from pipeline.versions.verify import verify
from pipeline.versions.verify_content import verify_deeply
from sources.errors import SourceError


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The URL of a bucket."""
    with s3_server() as server:
        yield server.bucket


@pytest.fixture(params=["folder", *slow("s3")])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty target of either kind."""
    if request.param == "folder":
        return str(tmp_path / "target")
    return f"{request.getfixturevalue('s3')}/{tmp_path.name}"


@pytest.fixture
def renamed(sample: Version, tmp_path: Path) -> Callable[..., Path]:
    """The sample's version under another number, or with other content."""

    def make(version: str, **content: Any) -> Path:
        folder = Path(shutil.copytree(sample.folder, tmp_path / f"made-{version}"))
        manifest = sample.manifest
        manifest["content"] |= content
        manifest["build"]["version"] = version
        (folder / "manifest.json").write_bytes(json_bytes(sealed(manifest["content"], manifest["build"])))
        return folder

    return make


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the check of the version before it is sent: it takes the most time, and has its own test."""
    monkeypatch.setattr("pipeline.versions.upload._refuse_damaged", lambda folder: None)


def pointed_at(target: str) -> str:
    version: str = json.loads(ObjectStore(target).read(LATEST) or b"{}")["version"]
    return version


def files_below(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def objects_below(target: str, prefix: str) -> dict[str, bytes]:
    """What lies below a prefix of a target, links followed."""
    if "://" not in target:
        return files_below(Path(target) / prefix)
    store = ObjectStore(target)
    return {path.removeprefix(f"{prefix}/"): store.read(path) or b"" for path in store.list(f"{prefix}/")}


@pytest.mark.parametrize("target", ["s3", "folder"], indirect=True)
def test_a_published_version_lies_at_its_own_paths_and_as_latest_and_verifies_there(
    sample: Version, target: str
) -> None:
    done = publish_to(sample.folder, target)
    assert (done.version, done.is_new, done.already_there) == (sample.id, True, 0)
    assert objects_below(target, f"versions/{sample.id}") == files_below(sample.folder)
    assert objects_below(target, "latest") == files_below(sample.folder)
    pointer = json.loads(ObjectStore(target).read(LATEST) or b"{}")
    assert pointer["version"] == sample.id
    for table, path in pointer["tables"].items():
        assert ObjectStore(target).read(path) == (sample.folder / f"open/{table}.parquet").read_bytes()
    url = target if "://" in target else f"file://{target}"
    for report in (verify_deeply(url), verify(f"{url}/versions/{sample.id}"), verify(f"{url}/latest")):
        assert report.ok, report.problems
        assert report.version == sample.id


@pytest.mark.usefixtures("unchecked")
def test_publishing_again_heals_what_was_damaged_at_the_target(sample: Version, target: str) -> None:
    publish_to(sample.folder, target)
    store, table = ObjectStore(target), "open/hcpcs_codes.parquet"
    data = (sample.folder / table).read_bytes()
    damaged = data[:100] + bytes([data[100] ^ 1]) + data[101:]  # of the same size
    for path in (f"versions/{sample.id}/{table}", f"latest/{table}", f"versions/{sample.id}/manifest.json"):
        store.put(path, b"{}" if path.endswith(".json") else damaged)
        publish_to(sample.folder, target)
        assert objects_below(target, f"versions/{sample.id}") == files_below(sample.folder), path
        assert objects_below(target, "latest") == files_below(sample.folder), path


@pytest.mark.usefixtures("unchecked")
def test_a_file_system_without_links_gets_latest_as_a_copy_that_follows(
    sample: Version, renamed: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", no_links)
    target = tmp_path / "target"
    publish_to(sample.folder, str(target))
    (target / "latest" / "stale.parquet").write_bytes(b"")
    later = renamed("2099.01.1")
    publish_to(later, str(target))
    assert files_below(target / "latest") == files_below(later)


@pytest.mark.parametrize("which", ["its own", *slow("another's", "a copy without archive", "inside", "a version")])
def test_a_folder_of_outputs_is_no_target_and_stays_as_it_is(
    own_sample: Outputs, sample: Version, tmp_path: Path, hcpcs: Callable[..., Any], which: str
) -> None:
    target = {"its own": own_sample.folder, "inside": own_sample.versions, "a version": own_sample.latest_link}.get(
        which
    )
    if target is None:
        target = tmp_path / "other"
        left_out = shutil.ignore_patterns("archive", "state.json") if which == "a copy without archive" else None
        shutil.copytree(sample.outputs.folder, target, symlinks=True, ignore=left_out)
    before = files_below(tmp_path)
    said = hcpcs("publish", target, "--outputs", own_sample.folder)
    assert said.status == 1
    assert "publish to a folder or prefix of its own" in said.err and "Traceback" not in said.err
    assert files_below(tmp_path) == before


def test_what_a_plain_web_server_serves_verifies(sample: Version, tmp_path: Path) -> None:
    publish_to(sample.folder, str(tmp_path / "target"))
    with served(tmp_path / "target") as url:
        for report in (verify_deeply(url), verify(f"{url}/versions/{sample.id}"), verify(f"{url}/latest")):
            assert report.ok, report.problems
            assert report.version == sample.id


@pytest.mark.usefixtures("unchecked")
def test_publishing_again_sends_nothing_and_a_new_version_sends_only_what_changed(
    sample: Version, target: str, renamed: Callable[..., Path]
) -> None:
    first = publish_to(sample.folder, target)
    again = publish_to(sample.folder, target)
    assert (again.sent, again.already_there, again.is_new) == (0, first.sent, False)
    later = publish_to(renamed("2099.01.1"), target)
    assert (later.sent, later.is_new) == (0, True)
    assert pointed_at(target) == "2099.01.1"


def killed_publishing(folder: Path, target: str, moment: str) -> int:
    """Publish in a process of its own that dies at ``moment``: before its n-th write, or after so many milliseconds.

    Or at a sync: in a folder, while it writes the pointer.
    """
    number, _, unit = moment.partition(" ")
    script = f"""
import os, signal, threading, time, obstore
from pathlib import Path
from pipeline.versions import upload as remote
import schemas.contract
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
if {moment == "at a sync"}:
    os.fsync = die
count = 0
def counted(write):
    def wrapped(*args, **kwargs):
        global count
        if {unit == "writes"} and count == {number}:
            die()
        count += 1
        return write(*args, **kwargs)
    return wrapped
for name in ("put", "copy", "delete"):
    setattr(obstore, name, counted(getattr(obstore, name)))
if {unit == "ms"}:
    threading.Thread(target=lambda: (time.sleep({number} / 1000), die()), daemon=True).start()
remote._refuse_damaged = lambda folder: None
remote.publish_to(Path({str(folder)!r}), {target!r})
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, timeout=120, check=False)
    assert done.returncode in (0, -signal.SIGKILL)
    return done.returncode


def is_whole(target: str) -> bool:
    """Whether every file of the version that the pointer names lies there as the manifest says."""
    store = ObjectStore(target)
    pointer = json.loads(store.read(LATEST) or b"{}")
    data = store.read(f"{pointer['path']}/manifest.json") or b""
    entries = files_of(json.loads(data))
    lying = {n: store.read(f"{pointer['path']}/{n}") or b"" for n in entries}
    return hashlib.sha256(data).hexdigest() == pointer["manifest_sha256"] and all(
        hashlib.sha256(lying[n]).hexdigest() == e["sha256"] for n, e in entries.items()
    )


@pytest.fixture
def rewritten(renamed: Callable[..., Path]) -> Callable[..., Path]:
    """The sample's version under another number with other bytes in every file."""

    def make(version: str) -> Path:
        folder = renamed(version)
        manifest = json.loads((folder / "manifest.json").read_bytes())
        for name, entry in files_of(manifest).items():
            with (folder / name).open("ab") as file:
                file.write(version.encode())
            data = (folder / name).read_bytes()
            entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        (folder / "manifest.json").write_bytes(json_bytes(sealed(manifest["content"], manifest["build"])))
        return folder

    return make


@pytest.mark.usefixtures("unchecked")
def test_killed_at_any_point_the_pointers_version_is_whole_and_publishing_goes_on(
    sample: Version, target: str, rewritten: Callable[..., Path]
) -> None:
    publish_to(sample.folder, target)
    files = len(files_of(sample.manifest))
    # The tier, the manifest, every file; in object storage all of them again for latest/, and the pointer.
    moments = {"amid the files": 5, "before the last file": files + 1}
    if "://" in target:
        moments |= {"amid latest": files + 9, "before the pointer": 2 * files + 4}
    for number, (moment, writes) in enumerate(moments.items(), 1):
        changed = rewritten(f"2099.01.{number}")
        assert killed_publishing(changed, target, f"{writes} writes") == -signal.SIGKILL, moment
        assert pointed_at(target) != f"2099.01.{number}" and is_whole(target), moment
        held = len(objects_below(target, f"versions/2099.01.{number}")) - 1
        assert held == min(files, writes - 2), moment
        resumed = publish_to(changed, target)
        assert (resumed.sent, resumed.already_there) == (files - held, held), moment
        assert pointed_at(target) == f"2099.01.{number}" and is_whole(target), moment
        assert objects_below(target, "latest") == files_below(changed), moment


@pytest.mark.usefixtures("unchecked")
def test_what_a_publisher_killed_at_the_pointer_leaves_is_swept(
    sample: Version, tmp_path: Path, renamed: Callable[..., Path]
) -> None:
    target, later = tmp_path / "target", renamed("2099.01.1")
    publish_to(sample.folder, str(target))
    assert killed_publishing(later, str(target), "at a sync") == -signal.SIGKILL
    assert len(list(target.glob(".latest.json.*.part"))) == 1 and pointed_at(str(target)) == sample.id
    publish_to(later, str(target))
    assert list(target.rglob("*.part")) == [] and pointed_at(str(target)) == "2099.01.1"


@pytest.mark.slow
@pytest.mark.usefixtures("unchecked")
def test_killed_at_many_moments_no_version_is_half(
    sample: Version, s3: str, tmp_path: Path, rewritten: Callable[..., Path]
) -> None:
    target = f"{s3}/{tmp_path.name}"
    publish_to(sample.folder, target)
    files = len(files_of(sample.manifest))
    rng, kills, number = random.Random(7), 0, 0
    while kills < 20:  # 50 gave no more in several runs, and cost the gate a minute
        number += 1
        changed = rewritten(f"2099.01.{number}")
        for _ in range(5):
            moment = f"{rng.randrange(2 * files + 5)} writes" if rng.random() < 0.5 else f"{rng.randrange(700)} ms"
            kills += killed_publishing(changed, target, moment) != 0
            assert is_whole(target), moment
        publish_to(changed, target)
        assert pointed_at(target) == f"2099.01.{number}" and is_whole(target)
        assert objects_below(target, "latest") == files_below(changed)
        shutil.rmtree(changed)


@pytest.mark.usefixtures("unchecked")
def test_two_publishers_do_not_overwrite_each_other(
    sample: Version, target: str, renamed: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_to(sample.folder, target)
    newer, newest = renamed("2099.01.1"), renamed("2099.01.2")
    swap = ObjectStore.swap

    def publish_in_between(other: Path) -> Callable[..., bool]:
        def first_the_other(*args: Any) -> bool:
            monkeypatch.setattr(ObjectStore, "swap", swap)
            publish_to(other, target)
            return swap(*args)

        return first_the_other

    monkeypatch.setattr(ObjectStore, "swap", publish_in_between(newest))
    with pytest.raises(VersionExists, match="newer version in the meantime"):
        publish_to(newer, target)
    assert pointed_at(target) == "2099.01.2"
    assert objects_below(target, "latest") == files_below(newest)
    later, latest = renamed("2099.02.1"), renamed("2099.02.2")
    monkeypatch.setattr(ObjectStore, "swap", publish_in_between(later))
    publish_to(latest, target)
    assert pointed_at(target) == "2099.02.2"


@pytest.mark.usefixtures("unchecked")
def test_the_pointer_never_goes_back_and_a_version_is_never_replaced(
    sample: Version, target: str, renamed: Callable[..., Path]
) -> None:
    publish_to(renamed("2099.01.3"), target)
    with pytest.raises(VersionExists, match="newer"):
        publish_to(sample.folder, target)
    other = sealed(sample.content | {"missing": {"x": "y"}}, sample.manifest["build"])
    ObjectStore(target).put("versions/2099.01.4/manifest.json", json_bytes(other))
    with pytest.raises(VersionExists, match=r"another 2099\.01\.4"):
        publish_to(renamed("2099.01.4"), target)
    assert pointed_at(target) == "2099.01.3"


@pytest.mark.usefixtures("unchecked")
def test_the_restricted_tier_refuses_a_target_of_the_open_one(sample: Version, target: str) -> None:
    ObjectStore(target).put("tier.json", b'{"tier": "restricted"}')
    with pytest.raises(TargetRefused, match="is for the tier 'restricted'"):
        publish_to(sample.folder, target)
    assert ObjectStore(target).read(LATEST) is None


@pytest.mark.usefixtures("unchecked")
def test_a_changed_missing_or_extra_object_is_named(sample: Version, target: str) -> None:
    publish_to(sample.folder, target)
    url = target if "://" in target else f"file://{target}"
    store, files, base = ObjectStore(target), sample.content["files"], f"versions/{sample.id}"
    codes, notes = "open/hcpcs_codes.parquet", "open/hcpcs_notes.parquet"
    store.put(f"{base}/{codes}", b"x" * files[codes]["bytes"])
    store.delete([f"{base}/{notes}"])
    store.put(f"{base}/more.txt", b"")
    assert {(p.check, p.file) for p in verify_deeply(url).problems} == {
        ("hashes", codes),
        ("files", notes),
        ("files", "more.txt"),
    }


def test_a_damaged_version_a_bad_pointer_and_no_bucket_are_refused(
    sample: Version, target: str, tmp_path: Path, s3: str
) -> None:
    copy = Path(shutil.copytree(sample.folder, tmp_path / "damaged"))
    (copy / "open/licenses.parquet").unlink()
    with pytest.raises(SourceError, match=r"licenses\.parquet: is missing; nothing was sent"):
        publish_to(copy, target)
    assert ObjectStore(target).list("") == []
    ObjectStore(target).put(LATEST, b'{"version": "../..", "path": "../.."}')
    ObjectStore(target).put("tier.json", b'{"tier": "open"}')
    with pytest.raises(TargetRefused, match="not what hcpcs writes"):
        publish_to(sample.folder, target)
    with pytest.raises(TargetRefused):
        publish_to(sample.folder, "s3://no-such-bucket/prefix")
    with pytest.raises(SourceError, match="is not a version"):
        verify_deeply(f"{s3}/nothing")
    assert os.environ["AWS_ACCESS_KEY_ID"] == "made-up"
