-- A key can be published ahead of the time from which it signs, so that whoever caches the set knows it by then.
-- signs_from: when its turn comes; null once it signs, and after. A key that waits has a verify_until too: the time at
-- which it is forgotten if its turn never comes. So "verify_until is null" goes on meaning "this one signs".
ALTER TABLE "signing_keys" ADD COLUMN "signs_from" TIMESTAMPTZ(3);
ALTER TABLE "signing_keys" ADD CONSTRAINT "signing_keys_signs_from_check"
    CHECK ("signs_from" IS NULL OR "verify_until" IS NOT NULL);
CREATE UNIQUE INDEX "signing_keys_announced_key" ON "signing_keys"("purpose") WHERE ("signs_from" IS NOT NULL);
