"""From predictions to HTTP: one ASGI application for a laptop, Lambda and a GPU endpoint."""
