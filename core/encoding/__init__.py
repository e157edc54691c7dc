"""Turns a conversation into tokens and a mask of scored tokens: templates, rendering, masks, tokenizing."""
