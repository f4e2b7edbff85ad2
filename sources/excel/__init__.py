"""Workbooks as sheets of text cells, read in a bounded process."""
