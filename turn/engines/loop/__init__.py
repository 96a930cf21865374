"""Sockets, and one epoll for all."""
