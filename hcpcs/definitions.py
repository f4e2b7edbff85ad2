"""Dagster's definitions, under a name that no folder of yours has: `dagster dev -m hcpcs.definitions`."""

from __future__ import annotations

import importlib

from hcpcs.own_packages import own_packages_first

own_packages_first()
defs = importlib.import_module("pipeline.definitions").defs
