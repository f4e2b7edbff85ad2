"""The command line of the library, and the door to the pipeline's commands where it is installed."""
