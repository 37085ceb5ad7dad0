"""`heatmap`: a U-Net at full resolution computes how likely each place is the centre of a region.

1. :mod:`network`: the encoder of `ringvote` and a U-Net give, for each square of 4 px, the expected
   number of centres in it, and the offset, radius, shape and ratio of a region centred there.
2. :mod:`prediction`: the maximum of the map is the answer; large images are computed in tiles.
3. :mod:`targets`, :mod:`losses`: training, with the likelihood of a Poisson process of centres.
"""
