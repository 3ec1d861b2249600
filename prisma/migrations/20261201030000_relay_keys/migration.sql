-- Keys that sign the tokens with which a client pulls through the relay.
ALTER TABLE "signing_keys" DROP CONSTRAINT "signing_keys_purpose_check",
    ADD CONSTRAINT "signing_keys_purpose_check" CHECK ("purpose" IN ('api-access', 'federation', 'page-tokens', 'relay'));
