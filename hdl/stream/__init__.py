"""Valid/ready streams: registers, pipelines, delays, AXI4-Stream names."""
