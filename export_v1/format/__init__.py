"""What an export is on disk. No Session and no Keras in here: both steps read and write through it."""
