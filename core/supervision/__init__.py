"""Runs jobs to their end: the worker that computes, and the ingest of its results into the store."""
