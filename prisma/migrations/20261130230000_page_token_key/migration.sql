-- A key that seals page tokens, the same for all replicas. It is symmetric, so its public_key is empty.
ALTER TABLE "signing_keys" DROP CONSTRAINT "signing_keys_purpose_check",
    ADD CONSTRAINT "signing_keys_purpose_check" CHECK ("purpose" IN ('api-access', 'federation', 'page-tokens'));
ALTER TABLE "signing_keys" DROP CONSTRAINT "signing_keys_alg_check",
    ADD CONSTRAINT "signing_keys_alg_check" CHECK ("alg" IN ('ES256', 'RS256', 'A256GCM'));
