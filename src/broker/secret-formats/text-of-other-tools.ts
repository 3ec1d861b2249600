import type { RegistryType } from "../../factory-config/entry.js";
import type { FormatResult } from "./check-credential-text.js";

type Parse = (text: string) => FormatResult<unknown>;

type Kind = { forms: readonly RegistryType[]; pattern: RegExp; sentence: string };

const all: readonly RegistryType[] = ["aws", "azure", "gar", "generic"];
const pairs: readonly RegistryType[] = ["azure", "generic"];

/** Text that other programs write, or that a person or a template has left, in the place of a credential. */
const kinds: readonly Kind[] = [
  {
    forms: all,
    pattern: /^kind:[ \t]*["']?Secret\b/m,
    sentence:
      "It is a Kubernetes Secret. Take the value out: kubectl get secret NAME -o json | jq -r '.data.\"KEY\"' | base64 -d > FILE",
  },
  {
    forms: ["aws"],
    pattern: /^[ \t]*set[ \t]+-\w+[ \t]+AWS_/m,
    sentence:
      'It sets environment variables, and a credentials file is needed. After running it: printf \'[default]\\naws_access_key_id = %s\\naws_secret_access_key = %s\\n\' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" > credentials',
  },
  {
    forms: ["aws"],
    pattern: /^\s*(?:AKIA|ASIA)[A-Z2-7]{16}(?:\s*[:,;]\s*|\s+)\S+\s*$/,
    sentence:
      "It is a key id and its secret alone. Write three lines: [default], aws_access_key_id = ID and aws_secret_access_key = SECRET.",
  },
  {
    forms: ["azure"],
    pattern: /^[ \t]*(?:export[ \t]+|set[ \t]+|\$env:)?(?:AZURE|ARM)_CLIENT_(?:ID|SECRET)[ \t]*=/m,
    sentence:
      'It sets environment variables. After running it: printf "%s:%s\\n" "$AZURE_CLIENT_ID" "$AZURE_CLIENT_SECRET" > FILE (with ARM_ in place of AZURE_ where it sets those)',
  },
  {
    forms: ["azure"],
    pattern: /^(?:appId|clientId):[ \t]/m,
    sentence: "It is the YAML of the Azure CLI. Store its JSON: az ad sp create-for-rbac -o json > FILE",
  },
  {
    forms: ["azure"],
    pattern: /^\S+\t[^\t\n]+\t\S+\t\S+\s*$/,
    sentence: "It is tab-separated output of the Azure CLI. Store its JSON: az ad sp create-for-rbac -o json > FILE",
  },
  {
    forms: ["generic"],
    pattern: /^\s*(?:Authorization[ \t]*:[ \t]*)?Basic[ \t]+[A-Za-z0-9+/]+={0,2}\s*$/i,
    sentence: "It is an Authorization header. Decode the text after Basic: sed 's/.*Basic *//' FILE | base64 -d",
  },
  {
    forms: ["generic"],
    pattern: /^\s*(?:Authorization[ \t]*:[ \t]*)?Bearer[ \t]+\S+\s*$/i,
    sentence: "It is an Authorization header with a token. Write <user>:<token> on one line.",
  },
  {
    forms: ["generic"],
    pattern: /^\s*machine\s+\S+\s+login\s+\S+\s+password\s+\S+/,
    sentence: "It is a netrc file. Write the values of login and password as <user>:<token> on one line.",
  },
  {
    forms: pairs,
    pattern: /^\s*(?:docker|podman|oras|helm|crane|skopeo|az|curl)[ \t]+\S/,
    sentence: "It is a command line. Write only the user and the token, as <user>:<token> on one line.",
  },
  {
    forms: pairs,
    pattern:
      /^\s*["']?(?:user(?:name)?|login)["']?[ \t]*[:=][ \t]*\S.*\r?\n\s*["']?(?:pass(?:word)?|token|secret)["']?[ \t]*[:=]/i,
    sentence: "It names user and password on lines of their own. Write <user>:<token> on one line.",
  },
  {
    forms: pairs,
    pattern: /^[^\s:]+\r?\n[^\s:]+\s*$/,
    sentence: "User and token stand on two lines. Put them on one: paste -sd: FILE > FILE.pair",
  },
  {
    forms: pairs,
    pattern:
      /^[^:]*:(?:\$\{[^}]*\}+|\$\([^)]*\)|\$[A-Z_]{3,}|%[A-Z_]{3,}%|\{\{.*\}\}|<[\w -]+>|\*{3,}|x{5,}|\.{3})\s*$/,
    sentence:
      "It holds a variable's name or a placeholder instead of the token. In a shell, variables are replaced in double quotes, not in single quotes.",
  },
];

/** Names text of another form than the registry needs, with the command that repairs it; `undefined` when it is not such. */
export function whatTextIs(form: RegistryType, text: string, parse: Parse): string | undefined {
  const kind = kinds.find(({ forms, pattern }) => forms.includes(form) && pattern.test(text));
  if (kind) return kind.sentence;
  if (/\r(?!\n)/.test(text) && parse(text.replace(/\r\n?/g, "\n")).ok)
    return "Its lines end in carriage returns alone. Make lines of them: tr '\\r' '\\n' < FILE > FILE.lines";
  return invisibleIn(text) ?? unreadableJson(form, text, parse);
}

// Zero-width characters, marks of direction, a byte order mark, blanks that are not the one of ASCII.
const invisible = /[\u00a0\u00ad\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]/;

function invisibleIn(text: string): string | undefined {
  const at = text.search(invisible);
  if (at < 0) return undefined;
  const code = text.charCodeAt(at).toString(16).toUpperCase().padStart(4, "0");
  const line = text.slice(0, at).split("\n").length;
  return `Line ${line}: it holds an invisible character (U+${code}), as text copied from a page or a chat does. Take such out: perl -CSD -pe 's/[\\x{A0}\\x{AD}\\x{2000}-\\x{200F}\\x{2028}-\\x{202F}\\x{205F}-\\x{206F}\\x{3000}\\x{FEFF}]//g' FILE > FILE.clean`;
}

/** JSON with comments, with text before it, or otherwise broken, where another form would be told line by line. */
function unreadableJson(form: RegistryType, text: string, parse: Parse): string | undefined {
  const start = text.search(/^[ \t]*\{/m);
  if (form === "generic" || start < 0 || (form === "aws" && !text.trimStart().startsWith("{"))) return undefined;
  if (text.slice(0, start).trim() !== "" && parse(text.slice(start)).ok)
    return "There is text before the JSON. Remove it: sed -n '/^ *{/,$p' FILE > FILE.json";
  try {
    JSON.parse(text.slice(start));
    if (form !== "aws") return undefined;
    return "It is JSON, and a credentials file is needed: [default], aws_access_key_id = ID and aws_secret_access_key = SECRET, each on a line.";
  } catch {
    return "It begins like JSON and is not valid JSON: comments, single quotes and a comma before a closing bracket are not allowed. Find the place: jq . FILE";
  }
}
