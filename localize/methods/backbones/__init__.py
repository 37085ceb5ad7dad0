"""Pretrained networks that describe images by features: what `patchcore` and `transfer` share.

- :mod:`options`: the choice of a network, for users. :mod:`pretrained`: the network, its weights.
- :mod:`weights`: weights from a Python package or a file.
- :mod:`convolutions`: the same network with less arithmetic.
"""
