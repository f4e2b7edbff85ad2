"""The license gate: reads every file that would be published, and refuses what is another owner's.

``check`` is what the other rooms call. ``gate`` looks at each file by its kind, ``table_gate`` at tables,
``text_gate`` at texts. Texts come from ``tables``, ``databases``, ``workbooks``, ``text_files``, ``scripts`` and
``markup``; ``pages`` finds the pages that hold nothing. What is looked for is in ``tokens`` and ``as_read``, what may
be kept in ``policy``, what was found in ``report``. It imports no other room.
"""
