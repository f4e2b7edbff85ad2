"""A refresh from end to end: take releases in, run the job, notify; rebuild and exclude."""
