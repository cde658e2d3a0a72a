"""Random faults under load, and what must be true after them."""
