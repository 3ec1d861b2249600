"""Fetches credentials as an AWS IoT device does, with an unmodified awscrt, and prints them or what it says, in JSON.

It speaks to port 443 only; a proxy that is asked to CONNECT there leads it to the service under test.
"""

import json
import sys

from awscrt import auth, http, io

wanted = json.loads(sys.argv[1])
options = io.TlsContextOptions.create_client_with_mtls_from_path(wanted["certificate"], wanted["key"])
options.override_default_trust_store_from_path(None, wanted["authority"])
provider = auth.AwsCredentialsProvider.new_x509(
    endpoint=wanted["endpoint"],
    thing_name=wanted["thingName"],
    role_alias=wanted["roleAlias"],
    tls_ctx=io.ClientTlsContext(options),
    http_proxy_options=http.HttpProxyOptions(
        "127.0.0.1", wanted["proxyPort"], connection_type=http.HttpProxyConnectionType.Tunneling
    ),
)
try:
    found = provider.get_credentials().result(timeout=20)
    print(
        json.dumps(
            {
                "ok": {
                    "accessKeyId": found.access_key_id,
                    "secretAccessKey": found.secret_access_key,
                    "sessionToken": found.session_token,
                }
            }
        )
    )
except Exception as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
