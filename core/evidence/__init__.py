"""Evidence: whether a run's scores mean what they seem to: memory, length, noise, and trials against random rows."""
