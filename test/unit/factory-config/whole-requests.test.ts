import { expect, it } from "vitest";
import { parseDocument } from "../../../src/factory-config/parse-document.js";
import { remarkOnWholeRequests } from "../../../src/factory-config/whole-requests.js";

const aws = "- { type: aws, region: us-east-2, aws_creds_secret_name: a }\n";
const generic = "- { type: generic, url: ghcr.io, generic_secret_name: a }\n";
const passing = "- { type: generic, url: quay.io, generic_secret_name: a, passThrough: true }\n";
const azure = "- { type: azure, url: example.azurecr.io, azure_principal_secret_name: a }\n";
const tenant =
  "- { type: azure, url: other.azurecr.io, azure_principal_secret_name: a, azure_tenant_id: t.example.com }\n";
const gar = "- { type: gar, url: us-docker.pkg.dev, gar_creds_secret_name: a }\n";
const anyGar = "- { type: gar, gar_creds_secret_name: a }\n";

function remarksOn(text: string) {
  const parsed = parseDocument(text);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.invalid));
  return remarkOnWholeRequests(parsed.config.entries);
}

it.each([
  ["one entry alone", generic],
  ["entries that are all answered without more", aws + passing + tenant + gar],
  ["entries of which none is", generic + azure + anyGar],
  ["no entries", "[]"],
])("nothing is remarked on %s", (_what, text) => {
  expect(remarksOn(text)).toEqual([]);
});

it.each([
  ["that is generic", generic, /^Beside other entries .* named repositories only\. .*"registry" and "repositories"/],
  ["of Azure without a tenant", azure, /^Unless its secret names a tenant, .* set azure_tenant_id in the entry\.$/],
  ["without a host", anyGar, /has no host\. Ask with "registry": "<host>"/],
])("an entry %s is remarked on beside one that would be answered", (_what, entry, reason) => {
  for (const other of [aws, passing, tenant])
    expect(remarksOn(other + entry)).toEqual([{ at: "line 2, column 3", reason: expect.stringMatching(reason) }]);
});
