"""OCP Microscaling: benches of its cores."""
