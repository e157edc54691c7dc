"""LoBaSS Explorer's core: learnability scores, their cache, and the selections made from them."""

__version__ = "0.6.0"
