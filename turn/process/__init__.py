"""Start, end, upgrade, operator."""
