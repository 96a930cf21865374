"""Joins core and engine."""
