"""Exploring: the numbers that pages show of a run, computed in SQL on all of its rows."""
