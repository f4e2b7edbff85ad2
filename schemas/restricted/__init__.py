"""Contracts of the restricted tier: tables that a licensee makes for itself. The registry does not publish them."""
