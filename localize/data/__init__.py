"""Sources of labelled images: datasets on disk and endless pictures from photos."""
