import { acrHost } from "../../../core/cloud-hosts.js";
import type { AzureEntry } from "../../../factory-config/entry.js";
import type { OutboundReply } from "../../../outbound/outbound.js";
import { type Check, type Examination, passed, type RegistryDoctor, sameByName, warned } from "../../doctor/check.js";
import { checkAccess, pullByDigest } from "../../doctor/repository-access.js";
import { type CloudOutbound, onlyToHosts } from "../cloud-hosts.js";
import { readJson, throwUnlessAnswered, upstreamRefused } from "../upstream-reply.js";
import {
  acrAccessReply,
  askAcrWithPassword,
  askAcrWithRefreshToken,
  readAcrHost,
  readAzurePrincipal,
} from "./acr-token.js";
import { clientWithSecret, exchangeForRefreshToken } from "./entra.js";
import { isAzureHostFor } from "./hosts.js";
import { type AzurePrincipal, parseAzurePrincipal } from "./principal.js";

/**
 * Azure Container Registry. With a tenant Entra vouches for the principal, without one the registry takes its id and
 * password; then the registry's token service says what it grants.
 */
export function createAzureDoctor(deps: { outbound: CloudOutbound; now: () => Date }): RegistryDoctor<AzureEntry> {
  const nowMs = () => deps.now().getTime();

  return {
    examine: async (examination) => {
      const host = readAcrHost(examination);
      const { principal, tenantId } = readAzurePrincipal(examination);
      const { signal, current, repositories } = examination;
      const outbound = onlyToHosts(deps.outbound, "Azure", (candidate) => isAzureHostFor(host, candidate));
      const way = { outbound, signal };
      const login = tenantId === undefined ? undefined : { host, tenantId, ...clientWithSecret(principal) };
      const refreshToken = login && (await exchangeForRefreshToken({ outbound, nowMs }, examination, login));
      const ask = (scopes: readonly string[]): Promise<OutboundReply> =>
        refreshToken === undefined
          ? askAcrWithPassword(way, { host, scopes }, principal)
          : askAcrWithRefreshToken(way, { host, scopes }, refreshToken);
      if (refreshToken === undefined) checkLogin(examination, host, await ask([]), nowMs());
      const access = await checkAccess(
        {
          ask: async (scope) => {
            const reply = await ask([scope]);
            throwUnlessAnswered(host, reply, nowMs());
            return reply;
          },
          readBearer: (reply) => readJson(host, reply, acrAccessReply).access_token,
          canPull: (bearer, repository) => pullByDigest(way, { host, repository, bearer }),
          advice: {
            pull: "Give the principal the role AcrPull on this registry, or the token a scope map with content/read.",
            push: "Give it the role AcrPull, and no more.",
          },
        },
        repositories,
      );
      const checks = [
        passed("login", refreshToken ? "Entra and the registry let it in." : "The registry lets it in."),
        ...(current === undefined ? [] : [checkSame(principal, current.revealText())]),
        ...access,
        narrowing(tenantId),
        ...adminOf(host, principal),
      ];
      return { checks };
    },
  };
}

/** @throws Problem `upstream-refused` when the registry does not know the id and password */
function checkLogin(examination: Examination<AzureEntry>, host: string, reply: OutboundReply, nowMs: number): void {
  throwUnlessAnswered(host, reply, nowMs);
  if (reply.status === 200) return;
  throw upstreamRefused(examination, host, `status ${reply.status}. Check the principal's id and password.`);
}

function checkSame(principal: AzurePrincipal, currentText: string): Check {
  const current = parseAzurePrincipal(currentText);
  return sameByName(
    "the principal (client id)",
    principal.clientId.toLowerCase(),
    current.ok ? current.value.clientId.toLowerCase() : undefined,
  );
}

function narrowing(tenantId: string | undefined): Check {
  if (tenantId !== undefined) {
    return passed("narrowing", "Its tokens can be limited to repositories, by the registry.");
  }
  return passed(
    "narrowing",
    "Its tokens are limited to repositories, which jobs have to name. Set azure_tenant_id in the entry to have tokens for all.",
  );
}

// Its name is the registry's (Azure Container Registry documentation, "Admin account").
function adminOf(host: string, { clientId }: AzurePrincipal): Check[] {
  if (acrHost(host)?.name !== clientId.toLowerCase()) return [];
  return [
    warned(
      "over-privileged",
      "This is the registry's admin account, which may do everything in it and is shared by all who use it. Make a service principal with the role AcrPull, and turn the admin account off.",
    ),
  ];
}
