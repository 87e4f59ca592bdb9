"""The bucket trigger."""
