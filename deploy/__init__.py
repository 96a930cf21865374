"""The calln command, and what installs and checks Calln on machines."""
