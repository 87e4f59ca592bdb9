"""Functions before an endpoint: the same HTTPS URL, queue and bucket, and no model.

Deployed as a zip of this folder and of what it imports (`layers/packaging/imports.py`): the standard library's Python
and the boto3 of Lambda's runtime are all there is.
"""
