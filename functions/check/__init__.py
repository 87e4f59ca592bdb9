"""The check of a new version, before it is given requests."""
