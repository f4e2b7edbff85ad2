"""Statements for users' own engines: names, types, tables, views. The annotation's is with ``annotate``."""
