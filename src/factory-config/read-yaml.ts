import { Composer, CST, type Document, type ErrorCode, Lexer, Parser, type YAMLError } from "yaml";
import type { Invalid } from "../core/problem.js";
import type { Locate } from "./document-text.js";
import { type Finding, inDocumentOrder } from "./findings.js";
import { buildTree, type YamlTree } from "./yaml-tree.js";

/** How deep lists and mappings may nest. Factory configs use four or five levels. */
export const maxDepth = 64;

// Enough to mend a document in one go; more would only show the same mistake again.
const maxSyntaxErrors = 20;

/** How many keys, values and signs between them. A large factory's hundreds of entries take some sixteen each. */
export const maxParts = 40_000;

export type ReadYaml = { ok: true; tree: YamlTree } | { ok: false; invalid: Invalid[] };

/**
 * Reads one YAML 1.2 document (core schema, `<<` is a key like any other) into a tree with positions. Refused: what
 * YAML calls an error, keys that are not text or stand twice, unknown tags, a `%YAML` directive of another version,
 * more than one document, more than 64 levels or 40,000 parts, an alias without its anchor or inside it.
 * The parser's own messages quote the document, so none of them is passed on.
 */
export function readYaml(text: string, locate: Locate): ReadYaml {
  if (hasTooManyParts(text)) {
    const reason = `The document has more than ${maxParts.toLocaleString("en")} values, keys and signs such as - and : together.`;
    return refused([{ at: locate(0), reason }]);
  }
  const tokens = tokensOf(text);
  const tooDeep = firstTooDeep(tokens);
  if (tooDeep !== undefined) {
    return refused([{ at: locate(tooDeep), reason: `Lists and mappings nest more than ${maxDepth} levels deep.` }]);
  }
  const composer = new Composer({
    version: "1.2",
    schema: "core",
    merge: false,
    resolveKnownTags: false,
    stringKeys: true,
    // Its own check compares every key with every other: minutes for a document of many keys.
    uniqueKeys: false,
    keepSourceTokens: true,
    logLevel: "silent",
    prettyErrors: false,
  });
  const [document, second] = withoutStacks(() => [...composer.compose(tokens, true, text.length)]);
  if (document === undefined) throw new Error("The YAML composer was told to give a document and gave none");
  const remarks = [...document.errors, ...document.warnings].slice(0, maxSyntaxErrors);
  const findings = remarks.map((error) => ({ offset: error.pos[0], reason: sentenceOf(error) }));
  if (second !== undefined) {
    const reason = "A second document starts here. A factory config is one document: remove the line ---.";
    findings.push({ offset: second.range[0], reason });
  }
  findings.push(...refusalOfVersion(document));
  return findings.length > 0 ? refused(inDocumentOrder(findings, locate)) : buildTree(text, document, locate);
}

/** Asked first, because parsing and composing take long for each part, and anyone who sends it need not write much. */
function hasTooManyParts(text: string): boolean {
  let parts = 0;
  for (const lexeme of new Lexer().lex(text)) {
    const type = CST.tokenType(lexeme);
    // `scalar` is the lexer's own mark in front of a plain text.
    if (type === "space" || type === "newline" || type === "comment" || type === "scalar") continue;
    parts += 1;
    if (parts > maxParts) return true;
  }
  return false;
}

/** The syntax tree's tokens, cut short where the document is refused anyway: after the second document, or many errors. */
function tokensOf(text: string): CST.Token[] {
  const tokens: CST.Token[] = [];
  let errors = 0;
  let documents = 0;
  for (const token of new Parser().parse(text)) {
    tokens.push(token);
    if (token.type === "error") errors += 1;
    if (token.type === "document") documents += 1;
    if (errors >= maxSyntaxErrors || documents >= 2) break;
  }
  return tokens;
}

/**
 * Where the document first nests too deep. Asked before composing, because the composer recurses: running out of stack
 * inside a regular expression ends the whole process, not just the call.
 */
function firstTooDeep(tokens: readonly CST.Token[]): number | undefined {
  const pending = tokens.map((token) => ({ token, depth: 0 }));
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { token, depth } = next;
    const inside = CST.isCollection(token) ? depth + 1 : depth;
    if (inside > maxDepth) return token.offset;
    for (const child of childrenOf(token)) pending.push({ token: child, depth: inside });
  }
  return undefined;
}

function childrenOf(token: CST.Token): CST.Token[] {
  if (token.type === "document") return token.value === undefined ? [] : [token.value];
  if (!CST.isCollection(token)) return [];
  const items: readonly CST.CollectionItem[] = token.items;
  return items.flatMap((item) => [item.key, item.value].filter((child) => child !== undefined && child !== null));
}

/**
 * The composer makes an `Error` of each mistake, and their stacks are what takes the time: seconds for a document of
 * nothing but commas. Nothing else runs in the meantime, so no one misses theirs.
 */
function withoutStacks<T>(compose: () => T): T {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return compose();
  } finally {
    Error.stackTraceLimit = limit;
  }
}

function refusalOfVersion(document: Document.Parsed): Finding[] {
  if (document.directives.yaml.explicit !== true || document.directives.yaml.version === "1.2") return [];
  const reason =
    "The %YAML directive asks for another version, in which words like yes and on are not text. Remove the directive.";
  return [{ offset: 0, reason }];
}

const sentences = {
  ALIAS_PROPS: "An alias cannot have a tag or an anchor of its own.",
  BAD_ALIAS: "An anchor or alias has no valid name.",
  BAD_DIRECTIVE: "This directive is not one that YAML 1.2 knows. Remove the line.",
  BAD_DQ_ESCAPE:
    "This escape does not exist in text between double quotes. Write \\\\ for a backslash, or use single quotes.",
  BAD_INDENT: "The indent does not fit the lines around it. Is a quote, bracket or brace not closed?",
  BAD_PROP_ORDER: "An anchor or tag must stand directly before its value.",
  BAD_SCALAR_START: "Text cannot start with this character. Put it in quotes.",
  BLOCK_AS_IMPLICIT_KEY:
    "A key and its value that is itself a mapping or list cannot share a line. Is the next line indented too far?",
  BLOCK_IN_FLOW: "A block list or mapping cannot stand between brackets or braces.",
  DUPLICATE_KEY: "This key appears twice in one mapping.",
  IMPOSSIBLE: "YAML cannot be read here.",
  KEY_OVER_1024_CHARS: "A key has more than 1,024 characters. Is a colon missing or a quote not closed?",
  MISSING_CHAR:
    "A character is missing here: a colon with a space after it, a comma, or a closing quote, bracket or brace.",
  MULTILINE_IMPLICIT_KEY: "A key cannot go over several lines. Is a colon missing, or the next line indented too far?",
  MULTIPLE_ANCHORS: "A value has more than one anchor.",
  MULTIPLE_DOCS: "A factory config is one document.",
  MULTIPLE_TAGS: "A value has more than one tag.",
  NON_STRING_KEY: "A key must be plain text, without a tag, not a list, mapping or alias.",
  RESOURCE_EXHAUSTION: "The document nests too deep.",
  TAB_AS_INDENT: "A tab cannot indent. Use spaces.",
  TAG_RESOLVE_FAILED: "This tag is not known or does not fit its value. Remove it; quotes make any value text.",
  UNEXPECTED_TOKEN: "YAML does not expect what is here. Is a quote, a bracket or an indent wrong?",
  BAD_COLLECTION_TYPE: "The tag does not fit a list or mapping. Remove it.",
} as const satisfies Record<ErrorCode, string>;

function sentenceOf(error: YAMLError): string {
  return sentences[error.code];
}

function refused(invalid: Invalid[]): ReadYaml {
  return { ok: false, invalid };
}
