"""What users write: Trainables, functions of a Session, and the check before a study."""
