import { Problem } from "../../core/problem.js";
import type { PrismaClient } from "../../db/database.js";
import { isUuid } from "../../http/page.js";
import { decodeFormText } from "../../http/read-body.js";
import { hashToken, isWellFormedToken } from "../token.js";
import { findProvenClient, type ProvenClient } from "./clients/store.js";

/** One and the same answer whether the client is unknown, withdrawn or expired, or the secret is not its own. */
export const invalidClient = (): Problem =>
  new Problem(
    "invalid-client",
    "This client_id and client_secret are not valid: mistyped, expired or withdrawn. Ask the person who gave them to you.",
  );

/** Where a request to the token endpoint can say which client it comes from. */
type ClientRequest = {
  authorization: string | undefined;
  form: { client_id?: string | undefined; client_secret?: string | undefined };
};

/** What a client presents itself by. Nothing of it has been checked. */
export type PresentedClient = { id: string; secret: string };

/**
 * Reads what a client presents: HTTP Basic, or `client_id` and `client_secret` in the form, and never both (RFC 6749,
 * section 2.3).
 * @throws Problem `invalid-request` for both at once
 */
export function presentedClient(request: ClientRequest): PresentedClient | undefined {
  const { authorization, form } = request;
  if (authorization !== undefined) return basicCredentials(authorization, form);
  const { client_id: id, client_secret: secret } = form;
  return id === undefined || secret === undefined ? undefined : { id, secret };
}

/**
 * The client, if it is one and the secret is its own.
 * @throws Problem `invalid-client`
 */
export async function authenticateClient(
  prisma: PrismaClient,
  presented: PresentedClient | undefined,
): Promise<ProvenClient> {
  // The checksum tells a typing error, and most of what is only tried, without a database read.
  if (!presented || !isUuid(presented.id) || !isWellFormedToken(presented.secret)) throw invalidClient();
  const client = await findProvenClient(prisma, presented.id, hashToken(presented.secret));
  if (!client) throw invalidClient();
  return client;
}

function basicCredentials(authorization: string, form: ClientRequest["form"]): PresentedClient | undefined {
  const encoded = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(authorization)?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, "base64").toString("latin1");
  const colon = text.indexOf(":");
  // Both halves are form-encoded before they are joined: RFC 6749, section 2.3.1.
  const id = decodeFormText(text.slice(0, Math.max(0, colon)));
  const secret = decodeFormText(text.slice(colon + 1));
  if (colon === -1 || id === undefined || secret === undefined) return undefined;
  if (form.client_secret !== undefined || (form.client_id !== undefined && form.client_id !== id)) {
    throw new Problem("invalid-request", "Present the client in Authorization or in the form, not in both.");
  }
  return { id, secret };
}
