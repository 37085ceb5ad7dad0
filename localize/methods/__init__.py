"""One file per method; :mod:`localize.localizer` registers them."""
