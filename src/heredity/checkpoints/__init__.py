"""Where trials' saved states live: folders that exist whole or not at all."""
