"""Roles of turns, and the names that files use for them."""

ROLE_NAMES = {
    "system": ("system", "developer"),
    "user": ("user", "human", "prompter"),
    "assistant": ("assistant", "gpt", "model", "bot", "chatgpt", "bing", "bard", "ai", "function_call", "tool_call"),
    "tool": ("tool", "observation", "function", "function_response", "tool_response", "tool_result", "ipython"),
}
"""Our roles, and the names that files give them."""

ROLE_OF = {name: role for role, names in ROLE_NAMES.items() for name in names}
CALL_ROLES = ("function_call", "tool_call")
"""Roles whose text is a tool call in JSON, not an answer."""
