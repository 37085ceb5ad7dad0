"""Votes of edge evidence for the centre of a circle or square (generalised Hough transform)."""
