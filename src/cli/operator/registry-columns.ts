import type { Column } from "./print-reply.js";

/** A registry entry in a table. */
export const entryColumns: readonly Column[] = [
  ["ID", "id"],
  ["TYPE", "type"],
  ["SECRET", "secretName"],
  ["ROLE", "awsRoleArn"],
  ["APPLICATION", "azureClientId"],
  ["PROVIDER", "garWorkloadIdentityProvider"],
  ["REGION", "region"],
  ["PROFILE", "profile"],
  ["TENANT", "azureTenantId"],
  ["HOSTS", "hosts"],
  ["PASS-THROUGH", "passThrough"],
  ["RELAY", "relay"],
];
