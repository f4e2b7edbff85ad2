"""Published tables in other formats, one module a format."""
