"""Decisions. Rule: no I/O, no clock, no dice here; `now` and `rng` are arguments."""
