"""Exploring: what the pages show of a run, counted in SQL on all of its rows."""
