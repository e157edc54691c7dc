"""Server start, session, login: what exists before a page is drawn."""
