"""What keeps losses safe: shards until they are proved, checking a workspace, backups of it."""
