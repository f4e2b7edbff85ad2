"""The static catalog: pages that tell of a published version, made of its open tables, manifest and contracts alone.

A page is a module here with ``write(site, held)``; ``build`` puts them together, ``site`` writes files, ``held`` reads.
"""
