"""`ringvote`: see :mod:`localize.methods.ringvote.method`."""
