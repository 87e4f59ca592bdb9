"""The endpoint: the application on a port, as SageMaker runs a container."""
