"""What others publish: CMS's releases, the archive that keeps their bytes, the curated facts.

Nothing here knows of Dagster, of our contracts or of the pipeline: a test proves it.
"""
