"""`autoencoder`: the error with which a network reconstructs an image through a narrow bottleneck.

The network learns to reconstruct clean images. What it has not seen there, it reconstructs worse,
so the map of an image is the error of its reconstruction.

- :mod:`network`: a square of 128 px -> a latent vector -> the square.
- :mod:`similarity`, :mod:`error_map`: squared error or SSIM, as the loss and as the map.
- :mod:`reconstruction`: images of any size, in overlapping tiles that are blended.
- :mod:`training`: random crops of clean images, and the training with Lightning.
- :mod:`graph`: the method as one network, for export.
- :mod:`method`: the localizer. :mod:`options`: its options.

Source: Bergmann, Löwe, Fauser, Sattlegger, Steger (2018), "Improving Unsupervised Defect
Segmentation by Applying Structural Similarity to Autoencoders", arXiv:1807.02011.
"""
