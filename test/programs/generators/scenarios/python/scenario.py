import json
import os

import openapi_client as api


def client_with(token):
    return api.ApiClient(api.Configuration(host=os.environ["FS_URL"], access_token=token))


operator = client_with(os.environ["FS_TOKEN"])
factory = api.FactoriesApi(operator).create_factory(api.FactoryRequest(name=os.environ["FS_FACTORY"])).name
secret = api.SecretsApi(operator).put_secret(factory, "aws_creds", api.SecretWrite(value=os.environ["FS_SECRET"]))
config = api.FactoryConfigApi(operator).put_config(factory, os.environ["FS_CONFIG"])
job = api.JobsApi(operator).create_job(factory, api.JobRequest(name="build 1"))
tokens = api.RegistryTokensApi(client_with(job.token)).issue_registry_tokens(
    factory, api.RegistryTokenRequest(registry=os.environ["FS_REGISTRY"])
)
rule = api.AccessApi(operator).create_trust_rule(
    factory,
    api.TrustRuleRequest(
        name="numbers",
        issuer=os.environ["FS_ISSUER"],
        audience="factory-secrets",
        conditions=[api.TrustCondition(claim="repository_id", equals_number=123456789)],
        grants=[api.Grant(registry=os.environ["FS_REGISTRY"], actions=["pull"])],
    ),
)

events, pages, next_page = 0, 0, None
while True:
    page = api.AuditApi(operator).list_factory_audit(factory, page_size=2, page_token=next_page)
    events, pages, next_page = events + len(page.items), pages + 1, page.next_page_token
    if next_page is None:
        break

try:
    api.FactoriesApi(operator).get_factory("no-such-factory")
    raise SystemExit("no problem was raised")
except api.exceptions.NotFoundException as error:
    problem = error.data.code

print(
    json.dumps(
        {
            "secret": secret.version,
            "config": config.version,
            "username": tokens.tokens[0].username,
            "number": rule.conditions[0].equals_number,
            "events": events,
            "pages": pages,
            "problem": problem,
        }
    )
)
