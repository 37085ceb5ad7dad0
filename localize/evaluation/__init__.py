"""Scores of answers: distances, hit rates, detection metrics, calibration, provenance."""
