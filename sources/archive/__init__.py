"""CMS's zips as they arrived: opened within bounds, kept byte for byte."""
