"""Parts of the Score page."""
