"""Which signatures the export gets, and which graph answers each."""
