"""Decides who meets, and what may pass between two."""
