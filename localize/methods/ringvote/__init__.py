"""`ringvote`: a small network gives evidence of an edge per pixel; votes give the centre.

What `boundary` and `prewhitened` share with it is in :mod:`localize.methods.hough`. The steps
from an image to an answer, in order:

1. :mod:`features` computes 20 channels per pixel: local steps of grey level and colour.
2. :mod:`network` encodes them with a few convolutions. One head gives evidence per pixel for
   any ratio and radius, another one gives evidence per 4 x 4 px for six ratios.
   :mod:`tta` averages the evidence of an image and its mirror images (methods named `-careful`).
   :mod:`evidence` runs the network on images of any size, in strips.
3. With r and ratio told: :mod:`predict_told` scores all centres and takes the best.
   From the image alone: :mod:`predict_image_only` searches place, radius and ratio.
   :mod:`proposals` gives candidates, coarse to fine; they are refined at full resolution;
   :mod:`rescoring` adds the evidence of a prewhitened matched filter (`ringvote-careful`).
4. :mod:`platt` turns the logits of an image's candidates into log odds that it has an anomaly.

:mod:`method` is the localizer: training, loading and answering. :mod:`train` holds what only
training needs: batches and targets, losses, the loop.
"""
