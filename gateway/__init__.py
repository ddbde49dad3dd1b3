"""One OpenAI-compatible endpoint in front of every model its user can reach."""

__version__ = "0.1.0"
