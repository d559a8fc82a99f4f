"""Floor 4: carries out runs on one machine. Talks to the server by the bus alone."""
