import { auditRoutes } from "../audit/routes.js";
import { awsRoutes } from "../aws/routes.js";
import { doctorRoutes } from "../broker/doctor/routes.js";
import { brokerRoutes } from "../broker/issue/routes.js";
import { referenceRoutes } from "../broker/references/routes.js";
import { factoryRoutes, factorySettingsRoutes } from "../factories/routes.js";

import { registryRoutes } from "../factory-config/registry-routes.js";
import { configRoutes } from "../factory-config/routes.js";
import { federationRoutes } from "../federation/routes.js";
import { fioctlRoutes } from "../fioctl/routes.js";
import { identityRoutes } from "../identity/routes.js";
import { keyRoutes } from "../keys/routes.js";
import { deletedSecretRoutes } from "../secrets/deleted/routes.js";
import { secretRoutes } from "../secrets/routes.js";
import { usageRoutes } from "../secrets/usage/routes.js";
import { verifyRoutes } from "../secrets/verify-secret.js";
import { secretVersionRoutes } from "../secrets/versions/routes.js";
import { metricsRoute, systemRoutes } from "./health.js";
import { commandLineRoutes } from "./offered-files.js";

/** Every route of the service. The server, the OpenAPI document and the tests walk this list. */
export const routes = [
  ...brokerRoutes,
  ...awsRoutes,
  ...referenceRoutes,
  ...secretRoutes,
  ...secretVersionRoutes,
  ...deletedSecretRoutes,
  ...verifyRoutes,
  ...doctorRoutes,
  ...usageRoutes,
  ...configRoutes,
  ...registryRoutes,
  ...federationRoutes,
  ...identityRoutes,
  ...factoryRoutes,
  ...factorySettingsRoutes,
  ...keyRoutes,
  ...auditRoutes,
  ...fioctlRoutes,
  ...commandLineRoutes,
  ...systemRoutes,
  metricsRoute,
];

const idsForDevices = ["issueRegistryTokens", "getRoleAliasCredentials", "whoAmI", "getHealth", "getReadiness"];

/** What the listener for devices serves. It faces a network of devices, so it has no more than they come for. */
export const deviceRoutes = routes.filter(({ id }) => idsForDevices.includes(id));
