"""Collect photos from the web, politely and safely, with source and licence.

Nothing heavy is imported here: ``synth --help`` must start without an HTTP library.
"""
