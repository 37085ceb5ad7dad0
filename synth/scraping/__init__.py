"""Collection of photos from the web with their sources and licences.

This module imports no HTTP library, so that ``synth --help`` starts fast.
"""
