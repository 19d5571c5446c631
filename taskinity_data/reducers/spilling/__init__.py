"""Partials of group-bys that outgrow memory, kept on disk."""
