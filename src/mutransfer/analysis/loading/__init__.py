"""This file is the folder of readers: stores, tables, and what trackers export."""
