"""Runs a job's work on a Ray cluster; only the worker process of such a job imports Ray."""
