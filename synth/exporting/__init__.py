"""A dataset in the layouts of other tools."""

from synth.exporting.exporter import FORMATS, export

__all__ = ["FORMATS", "export"]
