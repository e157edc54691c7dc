"""How the gradients of rows point like those of a target set (LESS), from the checkpoints of a LoRA reference."""
