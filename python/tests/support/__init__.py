"""The support of the tests: real servers, and a client that reads a stream as it arrives."""
