"""Components of the Curate page."""
