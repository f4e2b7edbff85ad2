"""The bundled sample: releases in CMS's own layout, made up, that ``make demo`` runs on.

They are files as CMS would publish them; ``tests/sample_writer.py`` writes them from its tables.
"""

import zipfile
from pathlib import Path

#: The sample's zips, each in a folder named by its release.
SAMPLE_FOLDER = Path(__file__).parent / "releases"
#: Comment of every zip that is made up, and the member that says so to a person.
SAMPLE_MARK = b"hcpcs-sample"
SAMPLE_README = "README_SAMPLE.txt"


def is_sample(zip_path: Path) -> bool:
    """Whether a zip says that it is made up: by its comment, or by its member ``README_SAMPLE.txt``.

    A file that is no zip is none.
    """
    try:
        with zipfile.ZipFile(zip_path) as archive:
            return archive.comment == SAMPLE_MARK or SAMPLE_README in archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError):
        return False
