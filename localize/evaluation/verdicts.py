"""Why a psychometric curve has no threshold, as written in the column ``verdict``."""

NO_THRESHOLD = "no threshold"
TOO_FEW = "too few trials"
ABOVE = "above the largest tried"
BELOW = "below the smallest tried"
FALLS = "falls before the threshold"
