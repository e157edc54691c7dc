"""What the owner of a workspace does for the command line, the dashboard and notebooks: start jobs, ingest, answer."""
