import { z } from "zod";
import { ForeignToken, optionalMember, StatedSeconds } from "../../outbound/foreign-json.js";

/**
 * What a token service answers (distribution spec, auth/token). Some send both members of the token and leave one empty,
 * as Harbor does.
 */
export const RealmReply = z.object({
  token: optionalMember(ForeignToken),
  access_token: optionalMember(ForeignToken),
  expires_in: StatedSeconds,
  issued_at: optionalMember(z.string()),
});
