"""What the operating system provides: files written atomically, locks, hashes, permission, process facts, limits."""
