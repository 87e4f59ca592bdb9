"""The HTTPS trigger."""
