"""From evidence per pixel to the centre of a region: a generalised Hough transform.

Shared by the methods `boundary`, `prewhitened` and `ringvote`. Evidence is an array of
(KINDS, H, W) in nats: for each pixel and each of 12 kinds of edge (8 directions of a circle's
outline, 4 sides of a square) the log likelihood ratio that the pixel is the last one inside
the region, with the outside in that direction. The steps, in order:

1. :mod:`whitening` predicts each pixel from its neighbours and keeps the residual.
   :mod:`step_likelihood` turns the residual into evidence. (`ringvote` computes its evidence
   with a network instead.) :mod:`mirroring` says how evidence changes in a mirrored image.
2. :mod:`border` finds where the picture ends and sets the evidence near it to 0.
3. :mod:`outlines` lists the last pixels inside a circle or square of radius r.
4. :mod:`voting` sums the evidence along each arc of a circle around every pixel by FFT
   (:mod:`fft` chooses the length of the transform), along each side of a square by cumulative
   sums.
5. :mod:`aggregation` turns the sums of the arcs into one logit for each centre.
6. :mod:`centre_scores` applies steps 4 and 5 to an image and returns its local maxima;
   :mod:`candidates` represents them, removes duplicates and chooses the answer.
7. :mod:`refinement` evaluates single centres and moves them to the best pixel, radius and
   fraction of a pixel. :mod:`corners` tries every radius at the corners of a square.

Beside the outline, :mod:`rounding_gaps` has evidence from the code values inside a region, and
:mod:`gap_scores` adds it to the logits. :mod:`interior` sums values inside regions.
"""
