"""What works on the machine itself: it is sent there with each order, and needs Python alone."""
