"""Measure what one request and one streamed chunk cost a gateway, as a ratio to nginx in the same run."""
