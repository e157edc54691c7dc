"""Keeps losses safe: shards kept until verified, check, backup."""
