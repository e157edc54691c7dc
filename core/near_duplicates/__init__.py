"""Groups of nearly identical rows, found by a job."""
