"""What a run has done so far: outcomes, results, bytes and rows by where they went."""
