"""Which weights a name means, whether their folder may be loaded, and loading them."""
