"""One self-contained HTML page of the tables and pictures in a folder, and its figures."""
