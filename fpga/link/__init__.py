"""The host link: frames, both ends, the serial port."""
