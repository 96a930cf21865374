"""The relay's part of the file."""
