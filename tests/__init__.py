"""The tests, file for file beside the package, plus the harnesses they share."""
