"""The code file of a release: text and workbook to typed records."""
