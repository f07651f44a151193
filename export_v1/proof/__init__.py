"""The original's answers: recorded, and compared with the export's."""
