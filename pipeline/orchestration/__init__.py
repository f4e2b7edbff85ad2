"""Dagster: assets, the IO manager, sensors, and what a run must know."""
