"""Export of a dataset in the formats of other tools."""

from synth.exporting.exporter import FORMATS, export

__all__ = ["FORMATS", "export"]
