"""Into what answer: reducers, and the tree that combines their partials."""
