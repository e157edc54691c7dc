"""Components of the Export page."""
