"""Rules of publishing elsewhere: whole or not at all, resumable, never over another's; on a real S3 protocol."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY, Version
from moto.server import ThreadedMotoServer

from pipeline.manifest import json_bytes, sealed
from pipeline.remote import LATEST, Place, TargetRefused, VersionExists, object_path, publish_to
from pipeline.verify import verify
from sources.errors import SourceError


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A server on the loopback address that speaks S3 and honors conditional writes; gives the URL of a bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/bucket", method="PUT"))
    stated = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "made-up",
        "AWS_SECRET_ACCESS_KEY": "made-up",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stated.items():
            patch.setenv(name, value)
        yield "s3://bucket"
    server.stop()


@pytest.fixture(params=["s3", "folder"])
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
    monkeypatch.setattr("pipeline.remote._refuse_damaged", lambda folder: None)


def pointed_at(target: str) -> str:
    version: str = json.loads(Place(target).read(LATEST) or b"{}")["version"]
    return version


def test_a_published_version_verifies_where_it_lies_and_its_tables_are_found(sample: Version, target: str) -> None:
    done = publish_to(sample.folder, target)
    assert (done.version, done.is_new, done.held) == (sample.id, True, 0)
    pointer = json.loads(Place(target).read(LATEST) or b"{}")
    assert pointer["version"] == sample.id
    for table, path in pointer["tables"].items():
        assert Place(target).read(path) == (sample.folder / f"open/{table}.parquet").read_bytes()
    for location in (target, f"{target}/versions/{sample.id}"):
        report = verify(location if "://" in location else f"file://{location}")
        assert report.ok, report.problems
        assert report.version == sample.id


@pytest.mark.usefixtures("unchecked")
def test_publishing_again_sends_nothing_and_a_new_version_sends_only_what_changed(
    sample: Version, target: str, renamed: Callable[..., Path]
) -> None:
    first = publish_to(sample.folder, target)
    again = publish_to(sample.folder, target)
    assert (again.sent, again.held, again.is_new) == (0, first.sent, False)
    later = publish_to(renamed("2099.01.1"), target)
    assert (later.sent, later.is_new) == (0, True)
    assert pointed_at(target) == "2099.01.1"


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("moment", ["amid the files", "before the manifest", "before the pointer"])
def test_killed_at_any_point_readers_see_the_version_before_and_publishing_goes_on(
    sample: Version, s3: str, tmp_path: Path, renamed: Callable[..., Path], moment: str
) -> None:
    target = f"{s3}/{tmp_path.name}"
    changed = renamed("2099.01.2")
    files = len(sample.content["files"]) + len(sample.manifest["build"]["files"])
    # The tier, every file, the manifest; the pointer comes last.
    puts = {"amid the files": 3, "before the manifest": files + 1, "before the pointer": files + 2}[moment]
    script = f"""
import os, signal, obstore
from pathlib import Path
put, count = obstore.put, 0
def counted(*args, **kwargs):
    global count
    if count == {puts}:
        os.kill(os.getpid(), signal.SIGKILL)
    count += 1
    return put(*args, **kwargs)
obstore.put = counted
from pipeline import remote
remote._refuse_damaged = lambda folder: None
remote.publish_to(Path({str(changed)!r}), {target!r})
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL
    assert Place(target).read(LATEST) is None
    resumed = publish_to(changed, target)
    assert resumed.held >= min(puts, files) - 1
    assert resumed.is_new
    assert verify(target).ok


@pytest.mark.usefixtures("unchecked")
def test_two_publishers_do_not_overwrite_each_other(
    sample: Version, target: str, renamed: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_to(sample.folder, target)
    newer, newest = renamed("2099.01.1"), renamed("2099.01.2")
    swap = Place.swap

    def publish_in_between(other: Path) -> Callable[..., bool]:
        def first_the_other(*args: Any) -> bool:
            monkeypatch.setattr(Place, "swap", swap)
            publish_to(other, target)
            return swap(*args)

        return first_the_other

    monkeypatch.setattr(Place, "swap", publish_in_between(newest))
    with pytest.raises(VersionExists, match="newer version meanwhile"):
        publish_to(newer, target)
    assert pointed_at(target) == "2099.01.2"
    later, latest = renamed("2099.02.1"), renamed("2099.02.2")
    monkeypatch.setattr(Place, "swap", publish_in_between(later))
    publish_to(latest, target)
    assert pointed_at(target) == "2099.02.2"


@pytest.mark.usefixtures("unchecked")
def test_the_pointer_never_goes_back_and_a_version_is_never_replaced(
    sample: Version, target: str, renamed: Callable[..., Path]
) -> None:
    publish_to(renamed("2099.01.3"), target)
    with pytest.raises(VersionExists, match="newer"):
        publish_to(sample.folder, target)
    Place(target).put(
        "versions/2099.01.4/manifest.json", json_bytes(sealed(sample.content | {"missing": {"x": "y"}}, {}))
    )
    with pytest.raises(VersionExists, match=r"another 2099\.01\.4"):
        publish_to(renamed("2099.01.4"), target)
    assert pointed_at(target) == "2099.01.3"


@pytest.mark.usefixtures("unchecked")
def test_the_restricted_tier_refuses_a_target_of_the_open_one(sample: Version, target: str) -> None:
    Place(target).put("tier.json", b'{"tier": "restricted"}')
    with pytest.raises(TargetRefused, match="is for the tier 'restricted'"):
        publish_to(sample.folder, target)
    assert Place(target).read(LATEST) is None


@pytest.mark.usefixtures("unchecked")
def test_a_changed_missing_or_extra_object_is_named(sample: Version, target: str) -> None:
    publish_to(sample.folder, target)
    url = target if "://" in target else f"file://{target}"
    place, files = Place(target), sample.content["files"]
    codes, notes = "open/hcpcs_codes.parquet", "open/hcpcs_notes.parquet"
    place.put(object_path(codes, files[codes]), b"x" * files[codes]["bytes"])
    import obstore

    obstore.delete(place._store, object_path(notes, files[notes]))
    place.put(f"versions/{sample.id}/more.txt", b"")
    assert {(p.check, p.file) for p in verify(url).problems} == {
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
    assert Place(target).list("") == []
    Place(target).put(LATEST, b'{"version": "../..", "path": "../.."}')
    with pytest.raises(TargetRefused, match="not what hcpcs writes"):
        publish_to(sample.folder, target)
    with pytest.raises(TargetRefused):
        publish_to(sample.folder, "s3://no-such-bucket/prefix")
    with pytest.raises(SourceError, match="is not a version"):
        verify(f"{s3}/nothing")
    assert os.environ["AWS_ACCESS_KEY_ID"] == "made-up"
