"""Scripts that make the figures and the generated pages of the documentation."""
