-- Whether jobs may be given a value is a property of the version that holds it. secrets.deliver_to_jobs stays for
-- replicas of the release before, and says what the current version says. What those replicas write is not deliverable.

-- Nobody writes while the flags are moved. In the order in which everybody else locks the two.
LOCK TABLE secrets, secret_versions IN ACCESS EXCLUSIVE MODE;

ALTER TABLE secret_versions ADD COLUMN deliver_to_jobs BOOLEAN NOT NULL DEFAULT false;

-- Of a flagged secret only the current version, and that only where nothing speaks against it. In doubt it is not
-- deliverable: somebody with secrets:deliver stores the value again, with the flag.
UPDATE secret_versions v SET deliver_to_jobs = true
FROM secrets s JOIN factories f ON f.id = s.factory_id
WHERE v.secret_id = s.id AND v.version = s.current_version AND s.deliver_to_jobs AND v.destroyed_at IS NULL
  -- The newest one, and not a repeated one: the flag of the secret may have come after a version that was gone back to.
  AND s.current_version = s.next_version - 1 AND v.restored_from IS NULL AND NOT v.staged
  -- No entry names the secret, or can ever have named it. A backslash may hide the name in a document.
  AND NOT s.named AND s.name <> ALL (f.named_secrets)
  AND NOT EXISTS (
    SELECT FROM config_versions c WHERE c.factory_id = s.factory_id
      AND (position(convert_to(s.name, 'UTF8') IN c.document) > 0 OR position('\x5c'::bytea IN c.document) > 0))
  -- It was never sent to a registry.
  AND NOT EXISTS (SELECT FROM secret_uses u WHERE u.secret_id = s.id)
  AND NOT EXISTS (
    SELECT FROM audit_events e WHERE e.factory_id = s.factory_id AND e.secret = s.name
      AND (e.action LIKE 'registry-token.%' OR e.action LIKE 'aws-credentials.%' OR e.action = 'secret.examined'));

CREATE INDEX secret_versions_delivered_idx ON secret_versions (secret_id, version) WHERE deliver_to_jobs;

-- The flag is set when the version is written, and never afterwards.
CREATE FUNCTION "refuse_later_delivery"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a stored version never becomes deliverable' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER "secret_versions_no_later_delivery" BEFORE UPDATE OF "deliver_to_jobs" ON "secret_versions"
    FOR EACH ROW WHEN (NEW."deliver_to_jobs" AND NOT OLD."deliver_to_jobs") EXECUTE FUNCTION "refuse_later_delivery"();

-- The service refuses a step after which a deliverable version would be current of a secret that an entry names. A
-- replica of the release before knows nothing of versions: what it makes current there is never delivered afterwards.
CREATE FUNCTION "end_delivery_of_named"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE "secret_versions" SET "deliver_to_jobs" = false
    WHERE "secret_id" = NEW."id" AND "version" = NEW."current_version" AND "deliver_to_jobs";
    RETURN NULL;
END
$$;
CREATE TRIGGER "secrets_named_is_not_delivered" AFTER INSERT OR UPDATE OF "named", "current_version" ON "secrets"
    FOR EACH ROW WHEN (NEW."named") EXECUTE FUNCTION "end_delivery_of_named"();
