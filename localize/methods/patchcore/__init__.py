"""`patchcore`: the distance of each patch of an image to the patches of clean images.

A pretrained network describes each patch by a feature vector. Training selects the clean patches
that represent all others best, the memory bank. The map of an image is the distance of each patch
to the nearest patch in the bank.

- :mod:`preprocessing`: image -> square input; patch scores -> map.
- :mod:`backbones`: the network, one of :mod:`localize.methods.backbones`.
- :mod:`embedding`: feature maps -> patch vectors.
- :mod:`bank`, :mod:`coreset`: patch vectors of clean images -> memory bank.
- :mod:`scoring`: patch vectors and bank -> distances, scores, answers.
- :mod:`graph`: the method as one network, for export.
- :mod:`method`: the localizer. :mod:`options`: its options.

Source: Roth, Pemula, Zepeda, Schölkopf, Brox, Gehler (2022), "Towards Total Recall in
Industrial Anomaly Detection". The convention ``paper`` follows the authors' release, ``anomalib``
the library of that name (2.7.0).
"""
