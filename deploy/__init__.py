"""Puts Calln on machines, and looks after it there."""
