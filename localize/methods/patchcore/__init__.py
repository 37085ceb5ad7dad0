"""PatchCore: how far is each patch of an image from all patches of clean images?

Patches are described by a network that was trained on other pictures; a bank keeps the clean
patches that cover the rest best; an image's map is each patch's distance to the nearest row.

Source: Roth, Pemula, Zepeda, Schölkopf, Brox, Gehler (2022), "Towards Total Recall in
Industrial Anomaly Detection". Convention ``paper`` follows the authors' release, ``anomalib``
the library of that name (2.7.0).
"""
