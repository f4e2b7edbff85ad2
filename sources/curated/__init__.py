"""Facts that people wrote down: code systems, sections, licenses, coded values, decisions."""
