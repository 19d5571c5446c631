"""The flow language: lexer, parser, errors, writer."""
