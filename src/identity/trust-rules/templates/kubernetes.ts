import { awsPartitionOf, awsRegionForm } from "../../../core/aws-partitions.js";
import { binds, comparisonsOf, type Finding, hostOf, type JudgedRule, type RuleTemplate, warning } from "./template.js";

const namespace = "/kubernetes.io/namespace";
const account = "/kubernetes.io/serviceaccount/name";
const uid = "/kubernetes.io/serviceaccount/uid";

/** https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/ */
export const kubernetes: RuleTemplate = {
  name: "kubernetes",
  title: "Kubernetes service accounts",
  issuer: "The cluster's --service-account-issuer: kubectl get --raw /.well-known/openid-configuration",
  audience:
    "Project a token for this installation's URL into the pod (serviceAccountToken.audience), or kubectl create token NAME --audience <it>. A pod's usual token is for the cluster itself: do not take that.",
  claims: [
    { claim: uid, type: "text", use: "identity", about: "The service account; another one when it is made again." },
    { claim: namespace, type: "text", use: "identity", about: "The namespace, together with the account's name." },
    { claim: account, type: "text", use: "identity", about: "The service account, together with the namespace." },
    { claim: "sub", type: "text", use: "identity", about: "system:serviceaccount:NAMESPACE:NAME" },
    { claim: "/kubernetes.io/pod/name", type: "text", use: "narrowing", about: "The pod." },
    { claim: "/kubernetes.io/node/name", type: "text", use: "narrowing", about: "The node." },
  ],
  identities: [[uid], ["sub"], [namespace, account]],
  advice:
    'Add {"claim": "/kubernetes.io/namespace", "equals": "..."} and {"claim": "/kubernetes.io/serviceaccount/name", "equals": "..."}, or {"claim": "sub", "equals": "system:serviceaccount:NAMESPACE:NAME"}: all pods of a cluster have its issuer.',
  example: {
    issuer: "https://oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE0000000000000000000000000",
    conditions: [
      { claim: namespace, equals: "ci" },
      { claim: account, equals: "builder" },
      { claim: uid, equals: "00000000-0000-4000-8000-000000000001" },
    ],
  },
  knows: (issuer) =>
    isEks(issuer) ||
    /^https:\/\/container\.googleapis\.com\/v1\/projects\//.test(issuer) ||
    /^(kubernetes\.default\.svc(\..*)?|.*\.oic\.prod-aks\.azure\.com)$/.test(hostOf(issuer)),
  // The bearer of every account of a namespace, or of the cluster, was not meant by whoever wrote one name.
  isName: (claim, value) => claim === "sub" && !/^system:serviceaccount:[^:]+:[^:]+$/.test(value),
  lint,
};

/** `https://oidc.eks.<region>.amazonaws.com/id/<id>`, or `oidc-eks.<region>.api.aws` with IPv6; by the region's partition. */
function isEks(issuer: string): boolean {
  const [, separator, region = "", suffix] = eksIssuer.exec(issuer) ?? [];
  const { dnsSuffix, dualStackDnsSuffix } = awsPartitionOf(region);
  return suffix !== undefined && suffix === (separator === "-" ? dualStackDnsSuffix : dnsSuffix);
}

const eksIssuer = new RegExp(`^https://oidc([.-])eks\\.(${awsRegionForm})\\.([a-z0-9.-]+)/id/`);

function lint(rule: JudgedRule): Finding[] {
  const findings: Finding[] = [];
  if (comparisonsOf(rule, uid).length === 0) {
    findings.push(
      warning(
        "recreated",
        `Anyone who may delete the account and make one of the same name is accepted. Add {"claim": "${uid}", "equals": "..."} (kubectl get serviceaccount NAME -o jsonpath={.metadata.uid}).`,
      ),
    );
  }
  if (/\.(svc|local)$/.test(hostOf(rule.issuer)) && rule.jwks === undefined && rule.jwksUrl === undefined) {
    findings.push(
      warning(
        "keys-out-of-reach",
        "This issuer has a name that only its own cluster knows. Give its keys as jwks (kubectl get --raw /openid/v1/jwks).",
        "/issuer",
      ),
    );
  }
  if (binds(rule, "/kubernetes.io/pod/name")) {
    findings.push(
      warning("name-can-change-hands", "Anyone who may make pods in the namespace can choose their names."),
    );
  }
  return findings;
}
