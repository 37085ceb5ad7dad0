"""Estimates the probability of detection (POD) by size of target, and a90/95.

The steps, in order: `table` reads hits and misses (`trials`) or a signal; `models` fits the eight
models of the handbook (`links`, `likelihood`) and one with guess and lapse; `contour` bounds them;
`resampling` bounds a90 over groups; `pooling` tests whether parts of the table differ; `signal` and
`tobit` fit a signal; `checks` refuses or warns; `analysis` writes the result folder.

Source: MIL-HDBK-1823A, Nondestructive Evaluation System Reliability Assessment (2009); Berens, NDE
Reliability Data Analysis, ASM Handbook 17 (1989).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from localize.sharpness.pod.analysis import measure
    from localize.sharpness.pod.options import PodOptions
    from localize.sharpness.pod.results import PodResult

__all__ = ["PodOptions", "PodResult", "measure"]


def __getattr__(name: str) -> Any:
    """Imports on first use, so that the command's help does not import pandas."""
    if name == "PodOptions":
        from localize.sharpness.pod.options import PodOptions

        return PodOptions
    if name in __all__:
        from localize.sharpness.pod import analysis

        return getattr(analysis, name)
    raise AttributeError(f"module 'localize.sharpness.pod' has no attribute '{name}'")
