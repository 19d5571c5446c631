"""Codec of values, and the kinds that pandas is loaded for."""
