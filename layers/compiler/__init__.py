"""Checkpoint -> fused graph -> variants -> gate -> artifact. Build machine only; never in an image."""
