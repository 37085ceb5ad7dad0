"""`transfer`: the score of an image from its features in a pretrained network, without a place.

A network that was trained on photos describes an image by pooled features. From labelled images, a
small network on the features, the head, learns the log odds of an anomaly. From clean images alone,
the score is the distance of the features to those of the nearest clean images.

- :mod:`features`: images -> pooled features. :mod:`cache`: the same, with files to resume from.
- :mod:`neighbours`: the score from clean images.
- :mod:`head`: the score from labelled images. :mod:`finetuning`: also trains the last layers.
- :mod:`method`: the localizer. :mod:`options`: its options.

Sources: Minhas and Zelek (2019), "Anomaly Detection in Images", arXiv:1905.13147 (labels).
Bergman, Cohen, Hoshen (2020), "Deep Nearest Neighbor Anomaly Detection", arXiv:2002.10445, and
Reiss, Cohen, Bergman, Hoshen (2021), "PANDA", CVPR (clean images).
"""
