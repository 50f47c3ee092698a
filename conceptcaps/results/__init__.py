"""What a result says: its interval, its picture, the gate before an alias moves."""
