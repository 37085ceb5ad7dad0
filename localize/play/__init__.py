"""An eye chart for people: one page that draws the anomalies itself."""
