"""Clients and peers over UDP."""
