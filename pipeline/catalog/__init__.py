"""The static catalog: pages about a published version, made of its open tables, manifest and contracts alone.

A page is a module here with ``write(site, published)``; ``build`` puts them
together, ``site`` writes files, ``version_reader`` reads.
"""
