"""The SDRAM that the controller is tested with."""
