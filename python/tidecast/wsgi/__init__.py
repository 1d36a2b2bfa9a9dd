"""Streams as the bodies of WSGI responses, and the process and clients that they are served to."""
