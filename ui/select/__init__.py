"""Components of the Select page."""
