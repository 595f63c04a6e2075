"""OliVe (ISCA 2023): formats, encoder, decoder and exact product."""
