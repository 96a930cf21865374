"""Calln onto machines, over SSH."""
