"""Sources of labelled images: datasets on disk and endless images drawn from photos."""
