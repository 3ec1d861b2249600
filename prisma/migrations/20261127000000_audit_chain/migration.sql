-- An audit that can be checked: chains of hashes over the committed events, signed checkpoints, signed cuts.
-- Everything here is added; the release before goes on beside it, and what it writes is sealed by this one.

-- The sealer reads what committed since its frontier. Its order only grows, so the writers append to the index's end.
CREATE INDEX "audit_events_transaction_id_idx" ON "audit_events"("transaction", "id");

-- One row. frontier: every event of an earlier transaction is sealed. Whoever holds the row's lock is the sealer.
CREATE TABLE "audit_sealer" (
    "singleton" BOOLEAN NOT NULL DEFAULT true,
    "frontier" xid8 NOT NULL,

    CONSTRAINT "audit_sealer_pkey" PRIMARY KEY ("singleton"),
    CONSTRAINT "audit_sealer_singleton_check" CHECK ("singleton")
);
INSERT INTO "audit_sealer" ("frontier") VALUES ('0');

-- The ends of the chains. id: the installation's, or a factory's.
CREATE TABLE "audit_chains" (
    "id" UUID NOT NULL,
    "position" BIGINT NOT NULL,
    "hash" BYTEA NOT NULL,

    CONSTRAINT "audit_chains_pkey" PRIMARY KEY ("id")
);

-- Where an event stands in a chain. No foreign key: what is removed behind our back must be missed, not cascade.
CREATE TABLE "audit_seals" (
    "chain_id" UUID NOT NULL,
    "position" BIGINT NOT NULL,
    "event_id" BIGINT NOT NULL,
    "hash" BYTEA NOT NULL,

    CONSTRAINT "audit_seals_pkey" PRIMARY KEY ("chain_id", "position")
);
CREATE UNIQUE INDEX "audit_seals_event_id_chain_id_key" ON "audit_seals"("event_id", "chain_id");

-- id: SHA-256 of public_key (SPKI, DER) in hexadecimal.
-- wrapped: the seed of an Ed25519 key, under the key-encryption key, as the data key data_key_id of the installation.
CREATE TABLE "audit_keys" (
    "id" TEXT NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'active',
    "public_key" BYTEA NOT NULL,
    "data_key_id" UUID NOT NULL,
    "key_encryption_key_id" TEXT NOT NULL,
    "wrapped" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "audit_keys_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "audit_keys_state_check" CHECK ("state" IN ('active', 'retired')),
    CONSTRAINT "audit_keys_key_encryption_key_id_fkey" FOREIGN KEY ("key_encryption_key_id")
        REFERENCES "key_encryption_keys"("id") ON DELETE RESTRICT ON UPDATE RESTRICT
);
CREATE UNIQUE INDEX "audit_keys_state_key" ON "audit_keys"("state") WHERE ("state" = 'active');
CREATE INDEX "audit_keys_key_encryption_key_id_idx" ON "audit_keys"("key_encryption_key_id");

-- What was signed. statement: the signed bytes, canonical JSON.
-- cut: everything up to the position was dropped on purpose.
CREATE TABLE "audit_statements" (
    "chain_id" UUID NOT NULL,
    "kind" TEXT NOT NULL,
    "position" BIGINT NOT NULL,
    "statement" BYTEA NOT NULL,
    "key_id" TEXT NOT NULL,
    "signature" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "audit_statements_pkey" PRIMARY KEY ("chain_id", "kind", "position"),
    CONSTRAINT "audit_statements_kind_check" CHECK ("kind" IN ('checkpoint', 'cut')),
    CONSTRAINT "audit_statements_key_id_fkey" FOREIGN KEY ("key_id")
        REFERENCES "audit_keys"("id") ON DELETE RESTRICT ON UPDATE RESTRICT
);
CREATE INDEX "audit_statements_key_id_idx" ON "audit_statements"("key_id");

CREATE OR REPLACE FUNCTION "refuse_audit_change"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is only appended to', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;

-- An event may go when a cut covers its place in every chain that has one.
CREATE FUNCTION "refuse_audit_event_delete"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM "audit_seals" WHERE "event_id" = OLD."id") OR EXISTS (
        SELECT FROM "audit_seals" AS seal
        WHERE seal."event_id" = OLD."id" AND NOT EXISTS (
            SELECT FROM "audit_statements" AS cut
            WHERE cut."chain_id" = seal."chain_id" AND cut."kind" = 'cut' AND cut."position" >= seal."position"
        )
    ) THEN
        RAISE EXCEPTION '% is only appended to', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN OLD;
END
$$;

CREATE FUNCTION "refuse_audit_seal_delete"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM "audit_statements" AS cut
        WHERE cut."chain_id" = OLD."chain_id" AND cut."kind" = 'cut' AND cut."position" >= OLD."position"
    ) THEN
        RAISE EXCEPTION '% is only appended to', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN OLD;
END
$$;

DROP TRIGGER "audit_events_append_only" ON "audit_events";
CREATE TRIGGER "audit_events_append_only" BEFORE UPDATE ON "audit_events"
    FOR EACH ROW EXECUTE FUNCTION "refuse_audit_change"();
CREATE TRIGGER "audit_events_delete_cut_only" BEFORE DELETE ON "audit_events"
    FOR EACH ROW EXECUTE FUNCTION "refuse_audit_event_delete"();

CREATE TRIGGER "audit_seals_append_only" BEFORE UPDATE ON "audit_seals"
    FOR EACH ROW EXECUTE FUNCTION "refuse_audit_change"();
CREATE TRIGGER "audit_seals_delete_cut_only" BEFORE DELETE ON "audit_seals"
    FOR EACH ROW EXECUTE FUNCTION "refuse_audit_seal_delete"();
CREATE TRIGGER "audit_seals_no_truncate" BEFORE TRUNCATE ON "audit_seals"
    FOR EACH STATEMENT EXECUTE FUNCTION "refuse_audit_change"();

CREATE TRIGGER "audit_statements_append_only" BEFORE UPDATE OR DELETE ON "audit_statements"
    FOR EACH ROW EXECUTE FUNCTION "refuse_audit_change"();
CREATE TRIGGER "audit_statements_no_truncate" BEFORE TRUNCATE ON "audit_statements"
    FOR EACH STATEMENT EXECUTE FUNCTION "refuse_audit_change"();

-- The one way in which events leave: writes the signed cuts, then removes what they cover, all or nothing. With the rights
-- of its owner, so that the role of the service needs none to delete.
-- cuts: [{chain_id, position, hash, statement, key_id, signature}], bytes in hexadecimal; hash is that of the position's seal.
-- Returns how many events it removed.
CREATE FUNCTION "cut_audit"(cuts jsonb) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    covered bigint[];
BEGIN
    PERFORM FROM "audit_sealer" FOR UPDATE;
    IF EXISTS (
        SELECT FROM jsonb_to_recordset(cuts) AS cut(chain_id uuid, position bigint, hash text)
        WHERE NOT EXISTS (
            SELECT FROM "audit_seals" AS seal
            WHERE seal."chain_id" = cut.chain_id AND seal."position" = cut.position
                AND seal."hash" = decode(cut.hash, 'hex')
        )
    ) THEN
        RAISE EXCEPTION 'a cut does not name a seal of its chain' USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO "audit_statements" ("chain_id", "kind", "position", "statement", "key_id", "signature")
    SELECT cut.chain_id, 'cut', cut.position, decode(cut.statement, 'hex'), cut.key_id, decode(cut.signature, 'hex')
    FROM jsonb_to_recordset(cuts) AS cut(chain_id uuid, position bigint, statement text, key_id text, signature text);
    SELECT array_agg(seal."event_id") INTO covered FROM "audit_seals" AS seal
    WHERE seal."chain_id" = (SELECT "id" FROM "installation") AND seal."position" <= (
        SELECT max(cut."position") FROM "audit_statements" AS cut
        WHERE cut."kind" = 'cut' AND cut."chain_id" = seal."chain_id"
    );
    DELETE FROM "audit_events" WHERE "id" = ANY (covered);
    DELETE FROM "audit_seals" WHERE "event_id" = ANY (covered);
    RETURN coalesce(cardinality(covered), 0);
END
$$;
REVOKE ALL ON FUNCTION "cut_audit"(jsonb) FROM PUBLIC;

-- How far the chain of the installation was sent to each outside place, and which process sends there now.
CREATE TABLE "audit_shipments" (
    "target" TEXT NOT NULL,
    "position" BIGINT NOT NULL DEFAULT 0,
    "checkpoint" BIGINT NOT NULL DEFAULT 0,
    "holder" UUID,
    "leased_until" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "audit_shipments_pkey" PRIMARY KEY ("target")
);
