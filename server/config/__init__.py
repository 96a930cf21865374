"""The server's part of the file."""
