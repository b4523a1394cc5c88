"""Objects: where bytes are, and copies of remote ones on this machine.

Importing this package opens nothing; boto3 is loaded when S3 is first asked.
"""

from copal.objects.cache import Cache, Held, cache_folder
from copal.objects.locator import FileLocator, Locator, S3Locator, parse_locator

__all__ = [
    "Cache",
    "FileLocator",
    "Held",
    "Locator",
    "S3Locator",
    "cache_folder",
    "parse_locator",
]
