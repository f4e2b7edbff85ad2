"""The asset graph: thin assets over the pure functions beside this package.

Modules here do without ``from __future__ import annotations``: Dagster refuses a ``context`` whose annotation is text.
"""
