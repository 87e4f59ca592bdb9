"""Functions before an endpoint: the same HTTPS URL, queue and bucket, and no model. A zip of this folder alone."""
