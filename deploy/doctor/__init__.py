"""Looks at a machine, says what to do."""
