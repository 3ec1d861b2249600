"""Makes calls with an unmodified botocore, and prints for each what came back or what it says.

Takes one argument, JSON: a list of {"service", "operation", "parameters", "region", "patienceSeconds"}; or
{"credentials": true} for what botocore finds in its environment. Prints a list of {"ok": ...} or {"error": ...}, in JSON.
"""

import json
import sys

import botocore.config
import botocore.session


def one_try(patience_seconds):
    return botocore.config.Config(
        retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=patience_seconds
    )


def credentials():
    found = botocore.session.get_session().get_credentials()
    if found is None:
        raise RuntimeError("no credentials were found")
    frozen = found.get_frozen_credentials()
    return {"accessKeyId": frozen.access_key, "secretAccessKey": frozen.secret_key, "sessionToken": frozen.token}


def call(wanted):
    if wanted.get("credentials"):
        return credentials()
    session = botocore.session.get_session()
    config = one_try(wanted.get("patienceSeconds", 20))
    client = session.create_client(wanted["service"], region_name=wanted.get("region"), config=config)
    method = getattr(client, wanted["operation"])
    reply = method(**wanted.get("parameters", {}))
    reply.pop("ResponseMetadata", None)
    return reply


def outcome(wanted):
    try:
        return {"ok": call(wanted)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


print(json.dumps([outcome(wanted) for wanted in json.loads(sys.argv[1])], default=str))
