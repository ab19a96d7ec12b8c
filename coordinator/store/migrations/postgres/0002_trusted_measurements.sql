DROP INDEX "jobs_trial";--> statement-breakpoint
ALTER TABLE "devices" ADD COLUMN "qualification" jsonb;--> statement-breakpoint
ALTER TABLE "devices" ADD COLUMN "quarantine" jsonb;--> statement-breakpoint
ALTER TABLE "jobs" ADD COLUMN "kind" text;--> statement-breakpoint
ALTER TABLE "jobs" ADD COLUMN "other_trial_ids" jsonb;--> statement-breakpoint
ALTER TABLE "trials" ADD COLUMN "correction" jsonb;--> statement-breakpoint
CREATE INDEX "jobs_search" ON "jobs" USING btree ("search_id");