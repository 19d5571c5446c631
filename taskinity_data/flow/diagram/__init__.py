"""Drawings of flows: SVG, Mermaid, text."""
