"""The program that works on the machine: it is sent there with each order and needs only Python."""
