"""The one path of every call: a plan, attempts, and the answer that is let through."""
