"""Nothing of hardware: external programs, files, pictures, numbers that people type."""
