"""Training of `ringvote`, in the order of the data.

:mod:`targets` draws labelled images and computes where the votes for their regions lie, in the
loader's workers. :mod:`packing` moves a batch to the device in one piece. :mod:`losses` compares
the network's evidence with the targets. :mod:`loop` runs the steps, validates and writes
checkpoints.
"""
