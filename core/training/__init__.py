"""Trains a reference model from a base model."""
