"""The HTTP edge: who may call, which endpoint it is, and what is refused before anything is sent."""
