"""Readers of file formats, and of frames in memory."""
