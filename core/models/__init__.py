"""Resolves model names to weights, checks that their folder is safe to load, and loads them."""
