"""Work that no request waits for. Every task here is owned, and ended, by the lifespan."""
