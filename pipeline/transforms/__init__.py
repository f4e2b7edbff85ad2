"""Tables from tables: pure functions on frames. No path, no clock, no Dagster."""
