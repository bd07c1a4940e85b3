"""Makes a container in an Azurite, which object_store cannot: azurite.py URL CONTAINER. The account and its key
are those that every Azurite has."""

import base64
import hashlib
import hmac
import sys
import urllib.request
from email.utils import formatdate

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

url, container = sys.argv[1:]
date, version = formatdate(usegmt=True), "2021-12-02"
# "Authorize with Shared Key" of the Blob service: method, eleven empty headers, ours, the resource
headers = f"x-ms-date:{date}\nx-ms-version:{version}"
resource = f"/{ACCOUNT}/{ACCOUNT}/{container}\nrestype:container"
signed = "\n".join(["PUT", *[""] * 11, headers, resource])
signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), signed.encode(), hashlib.sha256)).decode()
request = urllib.request.Request(
    f"{url}/{ACCOUNT}/{container}?restype=container",
    method="PUT",
    headers={"x-ms-date": date, "x-ms-version": version, "Authorization": f"SharedKey {ACCOUNT}:{signature}"},
)
with urllib.request.urlopen(request) as answer:
    print(answer.status)
