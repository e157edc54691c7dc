"""Operating system services: atomic files, locks, hashes, permission, process facts, limits."""
