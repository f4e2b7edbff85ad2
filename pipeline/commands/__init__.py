"""The commands, by what they are for; ``pipeline.cli`` puts them together. Heavy modules are imported inside them."""
