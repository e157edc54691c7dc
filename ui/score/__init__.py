"""Components of the Score page."""
