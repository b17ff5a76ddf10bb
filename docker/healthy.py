"""For Docker's health check: ends with 0 if the service of this container is ready to answer."""

import os
import sys
from http.client import HTTPConnection, HTTPException

# Not urllib.request, which would ask a proxy where the environment names one, and loads slower.
connection = HTTPConnection("127.0.0.1", int(os.environ.get("GLIMPSE_PORT") or 8000), timeout=3)
try:
    connection.request("GET", "/readyz")
    response = connection.getresponse()
    status, text = response.status, response.read().decode(errors="replace")
except (OSError, HTTPException) as error:
    sys.exit(f"no answer: {error}")
print(status, text)
sys.exit(status != 200)
