"""Checks that reducers and chunk functions do not depend on the cuts; public as `td.testing`."""
