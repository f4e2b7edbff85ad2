"""The files that CMS posts beside a code file: which is which, and their rows."""
