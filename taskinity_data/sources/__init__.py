"""Files, here or in a store: finding, reading and recognising them."""
