"""Comparison of two runs, a view of the Evidence page."""
