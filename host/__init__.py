"""What both processes need."""
