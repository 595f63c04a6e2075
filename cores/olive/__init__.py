"""OliVe (ISCA 2023): decoder and encoder of outlier-victim pairs."""
