"""Versions on disk and in object storage: written, checked, compared, pruned, published."""
