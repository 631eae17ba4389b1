"""Running studies: study files, named studies and ladders."""
