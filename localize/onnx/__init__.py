"""Detectors as ONNX files: how one is run as a localizer, and how a trained method is exported.

- :mod:`sidecar`: the JSON file beside an ONNX file, which says how images enter and what comes out.
- :mod:`session`: an ONNX file -> a session of onnxruntime; its inputs and outputs.
- :mod:`images`: image -> the input of the network.
- :mod:`model`: the localizer of the SPEC ``model.onnx``.
"""
