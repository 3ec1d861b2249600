import type { RegistryType } from "../../factory-config/entry.js";
import type { FormatResult } from "./check-credential-text.js";
import { whatJsonIs } from "./json-of-other-tools.js";
import { whatTextIs } from "./text-of-other-tools.js";

type Parse = (text: string) => FormatResult<unknown>;

/**
 * Reads the text of a credential. A byte order mark at its beginning is harmless and left out. A value that is damaged, or
 * in another form than the registry needs, is named with the command that repairs it. Never quotes the text.
 */
export function readCredential<T>(
  form: RegistryType,
  text: string,
  parse: (text: string) => FormatResult<T>,
): FormatResult<T> {
  const clean = text.replace(/^\uFEFF+/, "");
  const damage = damageOf(form, clean, parse);
  return damage === undefined ? parse(clean) : { ok: false, mistakes: [damage] };
}

/** What is wrong with the value as a whole; `undefined` when nothing of what is known here. */
function damageOf(form: RegistryType, text: string, parse: Parse): string | undefined {
  return (
    utf16Of(text) ??
    misreadMarkOf(text) ??
    (looksLikePath(form, withoutQuotes(text.trim())) ? asPath : undefined) ??
    base64Of(form, text, parse) ??
    whatJsonIs(form, text, parse) ??
    dockerLoginOf(form, text) ??
    csvOf(text) ??
    environmentOf(text) ??
    escapedOf(text, parse) ??
    wrappedOf(form, text, parse) ??
    whatTextIs(form, text, parse)
  );
}

const withoutQuotes = (text: string): string =>
  text.replace(/^(["'`])(.*)\1$|^[\u201c\u201d\u2018\u2019](.*)[\u201c\u201d\u2018\u2019]$/s, "$2$3");

const asPath =
  "It looks like the path of a file, not like its content. fioctl reads a file when there are two equals signs: fioctl secrets update NAME==FILE";

// Sent as UTF-8, the two bytes of the mark have become two replacement characters.
const mark = "(?:\\ufffd\\ufffd|[\\ufeff\\ufffe])?";
const littleEndian = new RegExp(`^${mark}(?:[\\x01-\\x7e]\\0){3}`);
const bigEndian = new RegExp(`^${mark}(?:\\0[\\x01-\\x7e]){3}`);

function utf16Of(text: string): string | undefined {
  const encoding = littleEndian.test(text) ? "UTF-16LE" : bigEndian.test(text) ? "UTF-16BE" : undefined;
  if (encoding === undefined) return undefined;
  return `It is UTF-16 text, as Windows PowerShell writes it. Convert the file: iconv -f ${encoding} -t UTF-8 FILE > FILE.utf8`;
}

/** The three bytes of a byte order mark, read as Windows-1252. */
function misreadMarkOf(text: string): string | undefined {
  if (!/^(?:\uFEFF)*\u00EF\u00BB\u00BF/.test(text)) return undefined;
  return "It begins with a byte order mark that was read in another encoding (\u00EF\u00BB\u00BF). Take it off: sed '1s/^\u00EF\u00BB\u00BF//' FILE > FILE.clean";
}

const maxPathCharacters = 1_024;
const rooted = /^(?:~[\w.-]*|\.{1,2}|\$\{?\w+\}?|%\w+%)?[\\/][^\r\n\0]*$/;
const drive = /^[A-Za-z]:\\[^\r\n\0]*$/;
const driveWithSlashes = /^[A-Za-z]:\/[^\r\n\0]*$/;
const fileUrl = /^file:\/\//i;
const fileName = /^@?[\w./\\~-]+\.(?:json|csv|txt|pem|ini|key|ya?ml|env|conf|cfg|b64)$/i;
const credentialsFile = /^@?(?:[\w.~-]+[\\/])*\.?(?:aws|azure|gcloud|docker)[\\/][\w.-]+$/i;

function looksLikePath(form: RegistryType, line: string): boolean {
  if (line.length > maxPathCharacters || line === "") return false;
  const isPair = form === "azure" || form === "generic";
  if (!isPair && driveWithSlashes.test(line)) return true;
  return [rooted, drive, fileUrl, fileName, credentialsFile].some((pattern) => pattern.test(line));
}

const minBase64 = 12;
const base64Prefix = /^\s*(?:data:[^,\r\n]{0,200};base64,|base64:)/i;
const base64 = /^[A-Za-z0-9+/_-]+={0,2}$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: what no text file holds.
const notText = /[\u0000-\u0008\u000e-\u001f\ufffd]/;

function base64Of(form: RegistryType, text: string, parse: Parse): string | undefined {
  const isPrefixed = base64Prefix.test(text);
  const packed = text.replace(base64Prefix, "").replace(/[\s"']+/g, "");
  if (packed.length < minBase64 || !base64.test(packed)) return undefined;
  const decoded = Buffer.from(packed, "base64")
    .toString("utf8")
    .replace(/^\uFEFF/, "");
  if (notText.test(decoded) && utf16Of(decoded) === undefined) return undefined;
  const isCredential = parse(decoded).ok || damageOfDecoded(form, decoded, parse) !== undefined;
  if (!isCredential) return undefined;
  if (!isPrefixed) return "It is base64 of the value. Decode it: base64 -d FILE > FILE.decoded";
  return "It is base64 of the value. Decode it: sed '1s/^data:.*,//; 1s/^base64://' FILE | base64 -d > FILE.decoded";
}

/** Not base64 again: that is one layer for each answer. */
const damageOfDecoded = (form: RegistryType, text: string, parse: Parse): string | undefined =>
  utf16Of(text) ?? whatJsonIs(form, text, parse) ?? dockerLoginOf(form, text) ?? csvOf(text) ?? escapedOf(text, parse);

function dockerLoginOf(form: RegistryType, text: string): string | undefined {
  if (form === "generic") return undefined;
  if (/^\s*_json_key_base64\s*:/.test(text)) {
    return "It is the user and password of a docker login. Store the key file alone: sed '1s/^_json_key_base64://' FILE | base64 -d > key.json";
  }
  if (!/^\s*_json_key\s*:/.test(text)) return undefined;
  return "It is the user and password of a docker login. Store the key file alone: sed '1s/^_json_key://' FILE > key.json";
}

// As the console writes it: with a user's name and password before the keys, or without.
function csvOf(text: string): string | undefined {
  const [head = ""] = text.split(/\r?\n/, 1);
  const columns = head.split(",").map((column) => column.replace(/"/g, "").trim().toLowerCase());
  const id = columns.indexOf("access key id");
  const secret = columns.indexOf("secret access key");
  if (id < 0 || secret < 0) return undefined;
  return `It is the CSV file of the AWS console. Make a credentials file of it: awk -F, 'NR==2{gsub(/["\\r]/,"");print "[default]\\naws_access_key_id = "$${id + 1}"\\naws_secret_access_key = "$${secret + 1}}' FILE > credentials`;
}

const environment = /^[ \t]*(?:export[ \t]+|set[ \t]+|\$env:)?(?:AWS_ACCESS_KEY_ID|AWS_SECRET_ACCESS_KEY)[ \t]*=/m;

function environmentOf(text: string): string | undefined {
  if (!environment.test(text)) return undefined;
  return 'It sets environment variables, and a credentials file is needed. After running it: printf \'[default]\\naws_access_key_id = %s\\naws_secret_access_key = %s\\n\' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" > credentials';
}

/** Line ends that were written as `\n`: in a whole file of one line. */
function escapedOf(text: string, parse: Parse): string | undefined {
  const line = text.trim();
  if (/[\r\n]/.test(line) || !line.includes("\\n") || parse(text).ok) return undefined;
  if (!parse(line.replaceAll("\\r\\n", "\n").replaceAll("\\n", "\n")).ok) return undefined;
  return "Its line ends are written as \\n. Make lines of them: sed 's/\\\\n/\\n/g' FILE > FILE.lines";
}

const assignment = /^\s*(?:export[ \t]+|set[ \t]+|\$env:)?[A-Z][A-Z0-9_]{2,}[ \t]*=[ \t]*/;

/** A value with something around it that a shell, a `.env` file or a person has put there. */
function wrappedOf(form: RegistryType, text: string, parse: Parse): string | undefined {
  const line = text.trim();
  const inner = withoutQuotes(line);
  if (inner !== line && parse(inner).ok) {
    if (/^[^"'`]/.test(line)) return "It is in typographic quotes (\u201c \u201d). Take them off in an editor.";
    return 'It is in quotes. Take them off: sed "1s/^[\\"\'\\`]//; \\$s/[\\"\'\\`]\\$//" FILE > FILE.plain';
  }
  const value = text.replace(assignment, "");
  if (value !== text && parse(withoutQuotes(value.trim())).ok) {
    return "It sets a variable. Store the text after the equals sign, without quotes.";
  }
  const isPair = form === "azure" || form === "generic";
  if (isPair && /^[a-z][a-z0-9+.-]*:\/\//i.test(line)) return "It is a URL. Write <user>:<token> on one line.";
  return undefined;
}
