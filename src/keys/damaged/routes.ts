import { requestedBy } from "../../audit/requested-by.js";
import { actorOf } from "../../core/caller.js";
import { Problem } from "../../core/problem.js";
import { FactoryParams } from "../../http/contract.js";
import { route } from "../../http/route.js";
import type { FactoryKeys } from "../../secrets/factory-keys.js";
import type { KeyDeps } from "../change-keys.js";
import { ReplacedDataKeys } from "../contract.js";
import { findFactoryRef } from "../store.js";
import { replaceDamagedKeys } from "./replace-damaged.js";

export const replaceDamaged = route(
  {
    id: "replaceDamagedDataKeys",
    method: "post",
    path: "/v1/factories/{factory}/data-keys:replace-damaged",
    tag: "Keys",
    summary: "Replace data keys that do not open",
    description:
      "Those of fingerprints and of AWS-shaped keys. Fingerprints from before are not known any more, and AWS-shaped keys from before stop working. A key of fingerprints that is missing is made anew. Keys that open stay.",
    auth: "operator",
    params: FactoryParams,
    replies: { 200: { description: "Replaced.", content: { "application/json": ReplacedDataKeys } } },
    problems: ["not-found", "key-unsuitable", "conflict"],
  },
  async (deps: KeyDeps & { factoryKeys: FactoryKeys }, { params, caller, request }) => {
    const factory = await findFactoryRef(deps.prisma, params.factory);
    if (!factory) throw new Problem("not-found", "There is no such factory.");
    const replaced = await replaceDamagedKeys(deps, {
      factory,
      actor: actorOf(caller),
      requested: requestedBy(request),
    });
    const items = replaced.map(({ purpose, dataKeyId, unknown }) => ({
      purpose,
      dataKeyId,
      ...(purpose === "fingerprint" && { unknownFingerprints: unknown }),
    }));
    return { status: 200, body: { items } };
  },
);
