-- When the value of a version first became the current one of its secret, in this version or in another with the same
-- value that was there then. Absent for a version that was never current.
ALTER TABLE "secret_versions" ADD COLUMN "current_from" TIMESTAMPTZ(3);

UPDATE "secret_versions" AS version SET "current_from" = first."at"
FROM (
    SELECT "secret_id", "version",
        CASE WHEN length("fingerprint") = 0 THEN "created_at"
            ELSE min("created_at") OVER (PARTITION BY "secret_id", "fingerprint") END AS "at"
    FROM "secret_versions" WHERE NOT "staged"
) AS first
WHERE first."secret_id" = version."secret_id" AND first."version" = version."version";

-- In the database, so that every way to write or promote a version does it, in the release before too. An empty
-- fingerprint is an unknown one: it equals no other.
CREATE FUNCTION "note_current_from"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW."staged" OR NEW."current_from" IS NOT NULL OR NEW."destroyed_at" IS NOT NULL THEN
        RETURN NEW;
    END IF;
    IF length(NEW."fingerprint") > 0 THEN
        SELECT min("current_from") INTO NEW."current_from" FROM "secret_versions"
        WHERE "secret_id" = NEW."secret_id" AND "fingerprint" = NEW."fingerprint";
    END IF;
    IF NEW."current_from" IS NULL THEN
        NEW."current_from" := CASE TG_OP WHEN 'INSERT' THEN NEW."created_at" ELSE now() END;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER "secret_versions_note_current_from" BEFORE INSERT OR UPDATE OF "staged" ON "secret_versions"
    FOR EACH ROW EXECUTE FUNCTION "note_current_from"();
