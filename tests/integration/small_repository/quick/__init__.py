"""Features that take milliseconds."""
