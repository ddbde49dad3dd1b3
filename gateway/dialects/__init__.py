"""Wire formats. Rule: pure; bytes in, values and bytes out."""
