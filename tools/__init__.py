"""What the house needs and the program does not."""
