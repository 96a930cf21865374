"""Encrypted packets only."""
