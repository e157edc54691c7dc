"""The engine, torch: batches of rows through a model, and the loss of each scored token."""
