import { z } from "zod";
import { optionalMember, StatedSeconds } from "../../outbound/foreign-json.js";

/**
 * What a token service answers (distribution spec, auth/token). Some send both members of the token and leave one empty,
 * as Harbor does.
 */
export const RealmReply = z.object({
  token: optionalMember(z.string()),
  access_token: optionalMember(z.string()),
  expires_in: StatedSeconds,
  issued_at: optionalMember(z.string()),
});
