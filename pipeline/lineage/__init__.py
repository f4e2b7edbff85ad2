"""Where each published column comes from, and what follows from it."""
