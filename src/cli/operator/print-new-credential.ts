import { textAt } from "../client/json-value.js";
import { maskTexts, warnOfPrinting } from "../client/mask.js";
import type { OutputForm } from "../client/print-document.js";
import type { OperatorContext } from "./operator-context.js";
import { printReply } from "./print-reply.js";

/**
 * Prints a credential that is shown this once: alone on a line, so that it can be captured, or within the whole reply.
 * @param member - of the reply that holds it
 * @param sentence - what it is, for a person
 */
export async function printNewCredential(
  { environment, terminal }: Pick<OperatorContext, "environment" | "terminal">,
  form: OutputForm | undefined,
  reply: unknown,
  member: string,
  sentence: string,
): Promise<void> {
  const credential = textAt(reply, member) ?? "";
  maskTexts(environment, terminal, [credential]);
  warnOfPrinting(environment, terminal);
  terminal.say(`${sentence} This is shown this once.`);
  await printReply({ terminal }, form, reply, () => credential);
}
