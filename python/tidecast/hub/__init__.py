"""A running hub, as a program on its key speaks to it: publishing, tickets for browsers, following streams.

Nothing here knows Flask, and all of it waits by plain sockets, which gevent replaces.
"""
