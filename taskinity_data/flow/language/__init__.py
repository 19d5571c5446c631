"""The flow language: lexer, parser, keywords, errors, writer."""
