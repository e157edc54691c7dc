"""Parts of the Select page."""
