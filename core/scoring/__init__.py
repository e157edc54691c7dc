"""A scoring job: what is missing, shared out in chunks to one process or several, and its losses as shards."""
