import { route } from "../http/route.js";
import { WhoAmI } from "./contract.js";
import { apiTokenRoutes } from "./credentials/api-token-routes.js";
import { jobRoutes } from "./credentials/job-routes.js";
import { operatorTokenRoutes, roleRoutes } from "./credentials/operator-token-routes.js";

import { authorityRoutes } from "./devices/authority-routes.js";
import { denialRoutes } from "./devices/denial-routes.js";
import { clientRoutes, secretRoutes } from "./oauth/clients/routes.js";

import { tokenRoutes } from "./oauth/token-routes.js";
import { trustRuleRoutes } from "./trust-rules/routes.js";

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
  ...authorityRoutes,
  ...denialRoutes,
];
