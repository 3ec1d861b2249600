import { route } from "../http/route.js";
import { WhoAmI } from "./contract.js";
import { apiTokenRoutes } from "./credentials/api-token-routes.js";
import { jobRoutes } from "./credentials/job-routes.js";
import { operatorTokenRoutes } from "./credentials/operator-token-routes.js";
import { roleRoutes } from "./credentials/role-routes.js";
import { clientRoutes } from "./oauth/clients/client-routes.js";
import { secretRoutes } from "./oauth/clients/secret-routes.js";
import { tokenRoutes } from "./oauth/token-routes.js";
import { trustRuleRoutes } from "./oidc/trust-rule-routes.js";

const whoAmI = route(
  {
    id: "whoAmI",
    method: "get",
    path: "/v1/whoami",
    tag: "Access",
    summary: "Who this credential is and what it may do",
    auth: "any-caller",
    replies: { 200: { description: "The caller.", content: { "application/json": WhoAmI } } },
    problems: [],
  },
  async (_deps: object, { caller }) => ({
    status: 200,
    body: {
      kind: caller.kind,
      id: caller.id,
      name: caller.name,
      permissions: [...caller.permissions],
      ...(caller.factory && { factory: caller.factory.name }),
      ...(caller.grants && { grants: [...caller.grants] }),
      ...(caller.expiresAt && { expiresAt: caller.expiresAt.toISOString() }),
    },
  }),
);

export const identityRoutes = [
  whoAmI,
  ...operatorTokenRoutes,
  ...roleRoutes,
  ...apiTokenRoutes,
  ...jobRoutes,
  ...clientRoutes,
  ...secretRoutes,
  ...tokenRoutes,
  ...trustRuleRoutes,
];
