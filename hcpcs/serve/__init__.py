"""Answers of a version over HTTP (``hcpcs serve``) and over the Model Context Protocol (``hcpcs mcp``)."""
