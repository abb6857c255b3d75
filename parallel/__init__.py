"""Who owns which positions and pixels, and how the ranks exchange them."""
