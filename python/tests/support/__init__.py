"""What the tests share: real servers, and a client that reads a stream as it comes."""
