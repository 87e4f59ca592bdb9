"""The queue trigger."""
