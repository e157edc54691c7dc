"""A scoring job: computes missing losses in chunks, in one or several processes, and writes them as shards."""
