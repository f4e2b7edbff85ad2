"""What users of the tables import and run; imports nothing else of this project."""
