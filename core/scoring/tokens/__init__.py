"""Losses token by token, by a worker that is kept warm."""
