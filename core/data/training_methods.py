"""How a model can be fine-tuned, and the usual learning rates."""

LEARNING_RATES = {"lora": 2e-4, "full": 2e-5}
"""Default learning rate by method: common starting points for adapters and for whole models."""

DEFAULT_LORA_RANK = 16
