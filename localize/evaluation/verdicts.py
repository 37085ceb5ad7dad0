"""Why a curve has no threshold or no a90, as written in the column ``verdict``."""

NO_THRESHOLD = "no threshold"
TOO_FEW = "too few trials"
ABOVE = "above the largest tried"
BELOW = "below the smallest tried"
FALLS = "falls before the threshold"
NEVER = "POD never reaches 0.9"
