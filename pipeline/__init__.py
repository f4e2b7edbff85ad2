"""How what others publish becomes what we publish: pure transforms, thin assets, publishing, the command line."""
