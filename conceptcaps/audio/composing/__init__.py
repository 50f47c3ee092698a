"""How a piece is written: tables of genres, moods, instruments and rhythms, and one file for each kind of part."""
