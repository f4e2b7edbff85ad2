"""The bundled sample: releases in CMS's own layout, made up, and the means to write more of them for tests.

``writer`` writes any records as CMS would; ``bundled`` turns ``records.csv`` and ``side_files.toml`` into the
releases that ``make demo`` runs on. Nothing here reads a release.
"""

from sources.sample.bundled import sample_records, write_sample
from sources.sample.writer import SampleRecord, is_sample

__all__ = ["SampleRecord", "is_sample", "sample_records", "write_sample"]
