"""One memory behind one port: the port, who shares it, and the memories that stand behind it."""
