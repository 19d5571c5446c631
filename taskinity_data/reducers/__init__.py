"""Reducers, and the tree that combines their partials to one answer."""
