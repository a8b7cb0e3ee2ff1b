"""The shared store of a review: its keys, its moves, and what a browser is remembered for."""
