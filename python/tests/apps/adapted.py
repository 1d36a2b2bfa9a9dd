"""The application behind two adapters from WSGI to ASGI."""

from a2wsgi import WSGIMiddleware
from asgiref.wsgi import WsgiToAsgi
from hello import app

asgiref = WsgiToAsgi(app)
a2wsgi = WSGIMiddleware(app)
