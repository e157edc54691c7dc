"""Embeddings of rows by the base: one vector a row, as a job, kept beside the store; what is near what by them."""
