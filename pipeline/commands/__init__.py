"""The commands, by what they are for; ``hcpcs.cli.main`` puts them together. Heavy modules are imported inside them."""
