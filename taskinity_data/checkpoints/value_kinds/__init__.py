"""How frames, tables and arrays are written exactly."""
