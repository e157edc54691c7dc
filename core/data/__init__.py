"""The values that pass through everything: examples, scores, filters, settings, errors."""
