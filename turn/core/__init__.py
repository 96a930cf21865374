"""Decides TURN."""
