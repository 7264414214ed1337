"""What Hydria must reach, measured; README.md beside this file has the last figures."""
