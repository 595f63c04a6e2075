"""Papers' blocks as Amaranth components, and the catalogue that lists them."""
