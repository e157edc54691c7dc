"""Jobs: a job is a folder, a worker is a process, results are shards."""
