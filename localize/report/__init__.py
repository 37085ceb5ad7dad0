"""The HTML report of a result folder, and its figures."""
