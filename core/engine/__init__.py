"""The engine (torch): runs batches of rows through a model and computes the loss of each scored token."""
