"""Losses per token, computed by a warm worker."""
