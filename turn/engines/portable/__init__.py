"""The engine that runs everywhere."""
