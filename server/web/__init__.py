"""Speaks HTTP and WebSocket."""
