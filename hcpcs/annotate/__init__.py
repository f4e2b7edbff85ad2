"""Annotating claims: parsing, lookup by day, files in and out, SQL, the summary."""
