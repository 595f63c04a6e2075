"""A controller of single data rate SDRAM behind the memory port."""
