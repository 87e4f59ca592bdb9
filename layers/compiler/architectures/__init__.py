"""One file per structure: configuration -> fused graph. `registry.py` lists them by model_type."""
