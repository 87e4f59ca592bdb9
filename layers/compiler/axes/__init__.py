"""Operators that can be chosen: one axis a file; `registry.py` lists them in the order they are tried."""
