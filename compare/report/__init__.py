"""The comparison as a folder that one looks at: a page, and its numbers as CSV and JSON."""

from .write import FILES, check_writable, write

__all__ = ["FILES", "check_writable", "write"]
