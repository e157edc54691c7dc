"""How a model can be fine-tuned, and the usual learning rates."""

LEARNING_RATES = {"lora": 2e-4, "full": 2e-5}
"""Default learning rate by method: common starting points for adapters and for whole models."""

DEFAULT_LORA_RANK = 16
LARGEST_SEED = 2**32 - 1
"""The largest that numpy takes."""
MOST_EPOCHS = 10_000
HIGHEST_RATE = 10.0
"""Above this learning rate no method learns; it only ruins the weights."""
