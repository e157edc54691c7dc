"""Responses of a base to the prompts of a dataset, generated as a job."""
