"""The license gate: reads every file that would be published, and refuses what is another owner's.

``check`` is what the other rooms call. ``gate`` looks at each file by its kind: ``tables``, ``databases``,
``workbooks``, ``text_files``, ``scripts``, ``markup``, and ``pages`` for thousands of pages. What it looks for is in
``tokens`` and ``as_read``, what may be kept in ``policy``, what was found in ``report``. It imports no other room.
"""
