-- A further purpose of a data key: what the secret halves of jobs' AWS-shaped keys are derived from. One for a factory,
-- made when it is first needed: two replicas that make it at once must end with the same.
ALTER TABLE "data_keys" DROP CONSTRAINT "data_keys_purpose_check";
ALTER TABLE "data_keys" ADD CONSTRAINT "data_keys_purpose_check" CHECK ("purpose" IN ('secret', 'fingerprint', 'aws-keys'));
CREATE UNIQUE INDEX "data_keys_aws_keys_key" ON "data_keys"("factory_id") WHERE "purpose" = 'aws-keys' AND "state" = 'active';
