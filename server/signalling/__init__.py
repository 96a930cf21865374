"""Decides who talks to whom."""
