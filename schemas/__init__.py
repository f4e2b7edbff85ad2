"""What we publish: one pandera model per table, and all that derives from it.

Nothing here knows of Dagster, of CMS's files or of the pipeline: a test proves it.
"""
