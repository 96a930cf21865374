"""The calln command."""
