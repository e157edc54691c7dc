"""From a conversation to tokens, and which of them count: templates, rendering, masks, tokenizing."""
