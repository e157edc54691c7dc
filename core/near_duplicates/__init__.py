"""Groups of rows that are nearly the same, found by a job."""
