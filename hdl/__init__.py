"""Amaranth building blocks that know no paper."""
