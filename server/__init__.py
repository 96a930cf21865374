"""The process behind the page."""
