"""One release: its name, day, members, revisions, and everything read from it."""
