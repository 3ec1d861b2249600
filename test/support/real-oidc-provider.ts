import { once } from "node:events";
import { createServer, request as httpsRequest } from "node:https";
import Provider from "oidc-provider";
import { createTestCertificateAuthority } from "./certificates.js";
import { rsaKeyPair } from "./rsa-keys.js";

export type RealProvider = {
  issuer: string;
  /** The client, which is the audience of its ID tokens. */
  clientId: string;
  connectTo: string;
  caPem: string;
  /** An ID token with these claims, over HTTP, from the token endpoint. */
  idToken(claims: Record<string, string>): Promise<string>;
  /** A JWT access token (RFC 9068) of the client for this resource. */
  accessToken(resource: string): Promise<string>;
  close(): Promise<void>;
};

const host = "provider.example.test";
const jobGrant = "urn:example:ci-job";

/** Starts `oidc-provider`, a certified OpenID provider, over TLS on 127.0.0.1. */
export async function startRealProvider(): Promise<RealProvider> {
  const issuer = `https://${host}`;
  const client = { id: "https://secrets.example.com", secret: "not-a-real-secret-client" };
  const provider = createProvider(issuer, client);
  const authority = await createTestCertificateAuthority();
  const server = createServer(await authority.issue([host]), provider.callback());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const ask = (form: Record<string, string>) => {
    const authorization = `Basic ${Buffer.from(`${encodeURIComponent(client.id)}:${client.secret}`).toString("base64")}`;
    return postForm({ port, ca: authority.caPem, authorization }, form);
  };
  return {
    issuer,
    clientId: client.id,
    connectTo: `${host}:443=127.0.0.1:${port}`,
    caPem: authority.caPem,
    idToken: async (claims) => String((await ask({ grant_type: jobGrant, claims: JSON.stringify(claims) })).id_token),
    accessToken: async (resource) =>
      String((await ask({ grant_type: "client_credentials", scope: "read", resource })).access_token),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function createProvider(issuer: string, client: { id: string; secret: string }): Provider {
  const { privateKey } = rsaKeyPair();
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: client.id,
        client_secret: client.secret,
        grant_types: ["client_credentials", jobGrant],
        redirect_uris: [],
        response_types: [],
        scope: "openid read",
      },
    ],
    cookies: { keys: ["not-a-real-secret-cookie-key"] },
    jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), alg: "RS256", use: "sig" }] },
    scopes: ["openid", "read"],
    ttl: { IdToken: 300, ClientCredentials: 300 },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, resource) => ({
          scope: "read",
          audience: resource,
          accessTokenFormat: "jwt",
          jwt: { sign: { alg: "RS256" } },
        }),
      },
    },
  });
  // A CI system has no browser: its jobs get an ID token for what they are.
  provider.registerGrantType(
    jobGrant,
    async (ctx) => {
      const claims: Record<string, string> = JSON.parse(String(ctx.oidc.params?.claims));
      const token = new provider.IdToken({ sub: claims.sub }, { ctx });
      for (const [name, value] of Object.entries(claims)) token.set(name, value);
      ctx.body = { id_token: await token.issue({ use: "idtoken" }) };
    },
    ["claims"],
  );
  return provider;
}

function postForm(
  to: { port: number; ca: string; authorization: string },
  form: Record<string, string>,
): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    const { port, ca, authorization } = to;
    const headers = { host, authorization, "content-type": "application/x-www-form-urlencoded" };
    const options = { host: "127.0.0.1", port, ca, servername: host, path: "/token", method: "POST", headers };
    const outgoing = httpsRequest({ ...options, agent: false }, async (response) => {
      let text = "";
      for await (const chunk of response) text += String(chunk);
      if (response.statusCode === 200) resolve(JSON.parse(text));
      else reject(new Error(`the provider answered ${response.statusCode}: ${text}`));
    });
    outgoing.on("error", reject);
    outgoing.end(new URLSearchParams(form).toString());
  });
}
