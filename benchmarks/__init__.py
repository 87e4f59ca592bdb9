"""Measurements against peers: contenders take turns in one run, results are medians with spread and ratios."""
