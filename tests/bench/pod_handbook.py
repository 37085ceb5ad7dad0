"""Compares `localize pod` with the numbers that MIL-HDBK-1823A's software gives for public data.

python tests/bench/pod_handbook.py --data DIR

DIR holds the handbook's examples as CSV files: example3_hit_miss.csv, example6_four_disks.csv,
example8_repeated.csv, example1_signal.csv. A file that is not there is skipped and named. Exit code
1 if a number differs in its fourth significant digit or before, or if nothing could be checked.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path

from localize.sharpness.pod import analysis
from localize.sharpness.pod import table as pod_table
from localize.sharpness.pod.options import PodOptions

TOLERANCE = 5e-5  # relative: four significant digits, and half a unit of the fifth


@dataclass(frozen=True)
class Example:
    """A file, the analysis, and the numbers to meet by column of ``pod.csv``.

    Args:
        warns: a word of a warning that must appear.
    """

    file: str
    options: PodOptions
    expected: dict[str, float]
    warns: str = ""
    name: str = field(default="")


def _length(link: str, scale: str, **expected: float) -> Example:
    options = PodOptions(
        size="length.inch", hits=("hit.miss",), link=link, scale=scale, model="handbook"
    )
    return Example("example3_hit_miss.csv", options, expected, name=f"{link}, {scale}")


EXAMPLES = (
    _length("logit", "linear", a50=0.11561, a90=0.17087, a90_95=0.19735, a90_95_one_sided=0.19250),
    _length("probit", "linear", a90_95=0.19729),
    _length("cloglog", "linear", a90_95=0.19428),
    _length("loglog", "linear", a90_95=0.20955),
    _length("logit", "log", a90_95=0.21059),
    Example(
        "example6_four_disks.csv",
        PodOptions(
            size="size.mils",
            hits=("hit.miss",),
            by="FACTOR",
            link="logit",
            scale="log",
            model="handbook",
        ),
        {"a50": 13.945, "a90": 60.297, "a90_95": 132.161},
        "FACTOR differ",
        "logit, log, pooled",
    ),
    Example(
        "example1_signal.csv",
        PodOptions(size="size", signal="Test B", decision=200.0, scale="log"),
        {"a50": 8.72637, "a90": 12.44347, "a90_95": 13.37034},
        name="signal against log size",
    ),
    Example(
        "example8_repeated.csv",
        PodOptions(
            size="target.size",
            hits=("test1", "test2"),
            link="logit",
            scale="linear",
            model="handbook",
        ),
        {"intercept": -0.939355, "slope": 16.181349, "aic": 290.470584},
        name="logit, linear, test1 and test2",
    ),
)


def check(example: Example, path: Path) -> bool:
    """Prints the numbers of one example; whether all agree."""
    result = analysis.analyse(pod_table.read(path, example.options), example.options)
    row = result.chosen
    agree = True
    for column, expected in example.expected.items():
        found = float(row[column])
        right = abs(found - expected) <= TOLERANCE * abs(expected)
        agree &= right
        verdict = "" if right else "  DIFFERS"
        print(
            f"{example.file:<26}{example.name:<32}{column:<18}{expected:>12g}{found:>14.7g}{verdict}"
        )
    if example.warns:
        warned = [each for each in result.warnings if example.warns in each]
        agree &= bool(warned)
        print(f"{example.file:<26}warning: {warned[0] if warned else 'none, BUT EXPECTED'}")
    return agree


def main() -> int:
    """Checks all examples of the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with the CSV files")
    folder = parser.parse_args().data
    print(f"{'file':<26}{'model':<32}{'column':<18}{'expected':>12}{'computed':>14}")
    verdicts = []
    for example in EXAMPLES:
        path = folder / example.file
        if path.is_file():
            verdicts.append(check(example, path))
        else:
            print(f"{example.file:<26}not checked: the file is not in {folder}")
    return 0 if verdicts and all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
