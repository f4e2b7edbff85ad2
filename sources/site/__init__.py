"""CMS's web site: its pages, what is new on them, and fetching it."""
