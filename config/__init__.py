"""The one YAML file."""
