"""Compressed files and archives, decompressed once into scratch files."""
