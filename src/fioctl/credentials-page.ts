import { z } from "zod";
import { route } from "../http/route.js";

/** fioctl prints this address when it has no client yet. Its own cloud has a form there; here it says how to make one. */
export const credentialsPage = route(
  {
    id: "fioctlCredentialsPage",
    method: "get",
    path: "/settings/credentials",
    trailingSlash: "both",
    tag: "fioctl",
    summary: "Where `fioctl login` sends whoever has no client yet: how to make one",
    auth: "anyone",
    replies: { 200: { description: "Commands.", content: { "text/plain": z.string() } } },
    problems: [],
  },
  async ({ publicUrl }: { publicUrl: () => string }) => ({ status: 200, body: howToMakeAClient(publicUrl()) }),
);

const howToMakeAClient = (url: string): string => `fioctl asks for the ID and the secret of an OAuth client.

Whoever administers your factory makes one, FACTORY and NAME being yours:

  curl -sS "${url}/v1/factories/FACTORY/oauth-clients" -H "OSF-TOKEN: $FS_TOKEN" \\
    -H 'Content-Type: application/json' -d '{"name":"NAME","roles":["operator"]}'

The answer has both: "id" is the client ID, "clientSecret" the client secret, which is shown this once.

Then log in:

  fioctl login --oauth-url "${url}/oauth"
`;
