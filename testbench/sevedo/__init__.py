"""Benches of SeVeDo's cores, and layers through them."""
