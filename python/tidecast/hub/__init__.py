"""A client of a running hub: publishing, tickets for browsers, reading streams.

Nothing here knows Flask. All waiting is on plain sockets, which gevent replaces.
"""
