"""What both processes need."""

VERSION = "0.1.0"  # here alone: pyproject.toml reads it
