-- The audit becomes transparency logs: one for each factory and one for the installation, each event in exactly one.
-- The two chains of hashes go, and every event that is there gets its place in its log by the sealer, as a new one does.

DROP FUNCTION "cut_audit"(jsonb);
DROP TABLE "audit_statements", "audit_chains", "audit_seals";
DROP FUNCTION "refuse_audit_seal_delete"();
DROP TRIGGER "audit_events_delete_cut_only" ON "audit_events";
DROP FUNCTION "refuse_audit_event_delete"();

-- Every event up to this transaction and id has its place.
ALTER TABLE "audit_sealer" ADD COLUMN "frontier_id" BIGINT NOT NULL DEFAULT 0;
UPDATE "audit_sealer" SET "frontier" = '0', "frontier_id" = 0;

-- What was signed. note: the signed note. edge: the right edge of the tree at that size, its hashes one after the other.
-- number: shared with audit_seals, in the order of commits.
CREATE TABLE "audit_checkpoints" (
    "log_id" UUID NOT NULL,
    "size" BIGINT NOT NULL,
    "number" BIGINT NOT NULL,
    "note" TEXT NOT NULL,
    "edge" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT transaction_timestamp(),

    CONSTRAINT "audit_checkpoints_pkey" PRIMARY KEY ("log_id", "size")
);
CREATE UNIQUE INDEX "audit_checkpoints_number_key" ON "audit_checkpoints"("number");

-- The trees. id: the installation's, or a factory's. cut: the size of the checkpoint up to which events were dropped.
CREATE TABLE "audit_logs" (
    "id" UUID NOT NULL,
    "size" BIGINT NOT NULL,
    "edge" BYTEA NOT NULL,
    "signed_size" BIGINT NOT NULL DEFAULT 0,
    "cut" BIGINT,

    CONSTRAINT "audit_logs_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "audit_logs_id_cut_fkey" FOREIGN KEY ("id", "cut")
        REFERENCES "audit_checkpoints"("log_id", "size") ON DELETE RESTRICT ON UPDATE RESTRICT
);

-- The place of an event in its log. number: its place among the events and checkpoints of all logs.
-- No foreign key to the event: a deleted one must be missed, not cascade.
CREATE TABLE "audit_seals" (
    "number" BIGINT NOT NULL,
    "log_id" UUID NOT NULL,
    "leaf_index" BIGINT NOT NULL,
    "event_id" BIGINT NOT NULL,

    CONSTRAINT "audit_seals_pkey" PRIMARY KEY ("number")
);
CREATE UNIQUE INDEX "audit_seals_log_id_leaf_index_key" ON "audit_seals"("log_id", "leaf_index");
CREATE UNIQUE INDEX "audit_seals_event_id_key" ON "audit_seals"("event_id");

-- An event may go when the cut of its log covers it.
CREATE FUNCTION "refuse_audit_event_delete"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM "audit_seals" AS seal JOIN "audit_logs" AS log ON log."id" = seal."log_id"
        WHERE seal."event_id" = OLD."id" AND seal."leaf_index" < log."cut"
    ) THEN
        RAISE EXCEPTION '% is only appended to', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN OLD;
END
$$;

CREATE FUNCTION "refuse_audit_seal_delete"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM "audit_logs" WHERE "id" = OLD."log_id" AND "cut" > OLD."leaf_index") THEN
        RAISE EXCEPTION '% is only appended to', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN OLD;
END
$$;

CREATE FUNCTION "refuse_audit_checkpoint_delete"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM "audit_logs" WHERE "id" = OLD."log_id" AND "cut" > OLD."size") THEN
        RAISE EXCEPTION '% is only appended to', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN OLD;
END
$$;

CREATE TRIGGER "audit_events_delete_cut_only" BEFORE DELETE ON "audit_events"
    FOR EACH ROW EXECUTE FUNCTION "refuse_audit_event_delete"();
CREATE TRIGGER "audit_seals_append_only" BEFORE UPDATE ON "audit_seals"
    FOR EACH ROW EXECUTE FUNCTION "refuse_audit_change"();
CREATE TRIGGER "audit_seals_delete_cut_only" BEFORE DELETE ON "audit_seals"
    FOR EACH ROW EXECUTE FUNCTION "refuse_audit_seal_delete"();
CREATE TRIGGER "audit_seals_no_truncate" BEFORE TRUNCATE ON "audit_seals"
    FOR EACH STATEMENT EXECUTE FUNCTION "refuse_audit_change"();
CREATE TRIGGER "audit_checkpoints_append_only" BEFORE UPDATE ON "audit_checkpoints"
    FOR EACH ROW EXECUTE FUNCTION "refuse_audit_change"();
CREATE TRIGGER "audit_checkpoints_delete_cut_only" BEFORE DELETE ON "audit_checkpoints"
    FOR EACH ROW EXECUTE FUNCTION "refuse_audit_checkpoint_delete"();
CREATE TRIGGER "audit_checkpoints_no_truncate" BEFORE TRUNCATE ON "audit_checkpoints"
    FOR EACH STATEMENT EXECUTE FUNCTION "refuse_audit_change"();

-- The one way in which events leave, with the rights of its owner, so that the role of the service needs none to delete.
-- Cuts every log at its newest checkpoint that was signed by then, and removes at most so many events behind the cuts.
-- Returns how many it removed; fewer than "most" when none are left.
CREATE FUNCTION "prune_audit"("signed_by" timestamptz, "most" integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    covered bigint[];
BEGIN
    PERFORM FROM "audit_sealer" FOR UPDATE;
    UPDATE "audit_logs" AS log SET "cut" = newest."size"
    FROM (
        SELECT "log_id", max("size") AS "size" FROM "audit_checkpoints" WHERE "created_at" <= signed_by GROUP BY "log_id"
    ) AS newest
    WHERE newest."log_id" = log."id" AND newest."size" > coalesce(log."cut", 0);
    SELECT array_agg("event_id") INTO covered FROM (
        SELECT seal."event_id" FROM "audit_logs" AS log
        JOIN "audit_seals" AS seal ON seal."log_id" = log."id" AND seal."leaf_index" < log."cut" LIMIT most
    ) AS old;
    DELETE FROM "audit_events" WHERE "id" = ANY (covered);
    DELETE FROM "audit_seals" WHERE "event_id" = ANY (covered);
    DELETE FROM "audit_checkpoints" AS old USING "audit_logs" AS log
    WHERE log."id" = old."log_id" AND old."size" < log."cut";
    RETURN coalesce(cardinality(covered), 0);
END
$$;
REVOKE ALL ON FUNCTION "prune_audit"(timestamptz, integer) FROM PUBLIC;

-- How far the events and checkpoints were sent: the number of the last one. Everything is sent from the beginning.
ALTER TABLE "audit_shipments" DROP COLUMN "checkpoint";
ALTER TABLE "audit_shipments" RENAME COLUMN "position" TO "number";
UPDATE "audit_shipments" SET "number" = 0;
