"""The pipeline's packages, found beside this one: a folder of yours may have the same names."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hcpcs.errors import HcpcsError

PIPELINE = ("sources", "schemas", "pipeline")
_ROOT = Path(__file__).resolve().parent.parent


def own_packages_first() -> None:
    """Import the pipeline's packages from beside this one, whatever is before them on Python's path."""
    for name in PIPELINE:
        place = _ROOT / name
        if name in sys.modules or not (place / "__init__.py").is_file():
            continue
        spec = importlib.util.spec_from_file_location(
            name, place / "__init__.py", submodule_search_locations=[str(place)]
        )
        if spec is not None and spec.loader is not None:
            sys.modules[name] = module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)


@contextmanager
def of_the_pipeline(what: str) -> Iterator[None]:
    """Import something of the pipeline's for ``what``; raises ``HcpcsError`` where the pipeline is not installed."""
    own_packages_first()
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in PIPELINE:
            raise
        raise HcpcsError(
            f"`{what}` belongs to the pipeline, which is not installed here: it runs from a clone of the repository"
            " (`make setup` there) or from the container image"
        ) from None
