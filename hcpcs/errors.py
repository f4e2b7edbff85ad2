"""The base of every error that states a problem with data, files or services, and not a fault in this program.

Library code raises these; only the command line turns one into a line on stderr and exit status 1.
"""

from __future__ import annotations


class HcpcsError(Exception):
    """Something cannot be done with what was given; the message says what is wrong, where, and what helps."""
