"""The methods, one module or package each; :mod:`localize.registry` lists them."""
