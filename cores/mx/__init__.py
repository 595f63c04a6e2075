"""OCP Microscaling (MX v1.0) and NVFP4: the formats of industry that the systems are compared with."""
