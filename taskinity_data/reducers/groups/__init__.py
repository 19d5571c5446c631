"""States of groups of rows: how chunks begin them, and how they are merged."""
