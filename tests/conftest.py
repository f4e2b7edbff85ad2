"""What tests share. What a newcomer's machine may lack is reached through one fixture each, here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def missing(what: str) -> None:
    """Skip, saying why; where `.ci/run` promised everything, fail instead."""
    if os.environ.get("HCPCS_REQUIRE_ALL"):
        pytest.fail(f"{what} is missing, and HCPCS_REQUIRE_ALL says that nothing may be")
    pytest.skip(f"{what} is not on this machine")


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
