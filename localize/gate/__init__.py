"""Checks the results of a run against requirements, for an automatic gate.

The steps, in order: `requirement` parses an expression; `runs` recognises the result folder and
opens it (`sharpness_run`, `score_run`, `pod_run`), which reads the `estimate` of a quantity;
`noninferiority` compares the run with another one (`paired_trials`, `paired_images`,
`paired_targets`); `result` gives the verdicts, and `output` writes them as lines, JSON and JUnit
XML; `checks` runs all steps.
"""
