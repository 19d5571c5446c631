"""Whether reducers and chunk functions mind where cuts fall; `td.testing` is its public face."""
