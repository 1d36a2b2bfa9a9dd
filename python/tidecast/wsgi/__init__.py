"""Streams as bodies of WSGI responses, and the clients and the process that they are served to and by."""
