"""Make the chart: photos in, pictures with a faint hidden region and its exact truth out."""

from synth.anomaly import Anomaly, apply, mask
from synth.dataset import read
from synth.errors import InputError, Skipped
from synth.generator import generate
from synth.photos import Photo
from synth.recipe import PRESETS, Recipe
from synth.renderer import Sample, render
from synth.replay import rebuild, verify

__all__ = [
    "PRESETS",
    "Anomaly",
    "InputError",
    "Photo",
    "Recipe",
    "Sample",
    "Skipped",
    "apply",
    "generate",
    "mask",
    "read",
    "rebuild",
    "render",
    "verify",
]
