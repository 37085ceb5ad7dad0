"""The test for people: one HTML page that draws the anomalies in the browser."""
