"""What the command line, the dashboard and notebooks ask of one workspace."""
