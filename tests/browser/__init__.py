"""The console in a real Chromium, in front of a gateway whose upstreams are scripted."""
