CREATE TABLE "adapters" (
	"id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"base_id" text NOT NULL,
	"digest" text NOT NULL,
	"bytes" bigint NOT NULL,
	"rank_max" bigint NOT NULL,
	"alpha" double precision NOT NULL,
	"space" jsonb NOT NULL,
	"files" jsonb NOT NULL,
	"created_at_ms" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "bases" (
	"id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"digest" text NOT NULL,
	"bytes" bigint NOT NULL,
	"parameters" bigint NOT NULL,
	"layers" bigint NOT NULL,
	"hidden" bigint NOT NULL,
	"ffn_width" bigint NOT NULL,
	"vocab" bigint NOT NULL,
	"tokenizer_digest" text NOT NULL,
	"created_at_ms" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "codes" (
	"hash" text PRIMARY KEY NOT NULL,
	"device_class" text,
	"created_at_ms" bigint NOT NULL,
	"expires_at_ms" bigint NOT NULL,
	"device_id" text
);
--> statement-breakpoint
CREATE TABLE "datasets" (
	"id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"digest" text NOT NULL,
	"rows" bigint NOT NULL,
	"created_at_ms" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "devices" (
	"id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"device_class" text NOT NULL,
	"public_key" text NOT NULL,
	"facts" jsonb NOT NULL,
	"enrolled_at_ms" bigint NOT NULL,
	"online" bigint NOT NULL,
	"session" bigint,
	"last_seen_at_ms" bigint,
	"installed_release_id" text,
	"serve_url" text
);
--> statement-breakpoint
CREATE TABLE "jobs" (
	"id" text PRIMARY KEY NOT NULL,
	"search_id" text NOT NULL,
	"trial_id" text NOT NULL,
	"device_id" text NOT NULL,
	"state" text NOT NULL,
	"body" jsonb NOT NULL,
	"sends" bigint NOT NULL,
	"created_at_ms" bigint NOT NULL,
	"sent_at_ms" bigint,
	"ended_at_ms" bigint,
	"result" jsonb,
	"reason" text
);
--> statement-breakpoint
CREATE TABLE "releases" (
	"id" text PRIMARY KEY NOT NULL,
	"number" bigint NOT NULL,
	"name" text NOT NULL,
	"search_id" text NOT NULL,
	"trial_id" text NOT NULL,
	"genome" text NOT NULL,
	"package_digest" text NOT NULL,
	"package_bytes" bigint NOT NULL,
	"manifest_digest" text NOT NULL,
	"signed" jsonb NOT NULL,
	"created_at_ms" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "rollout_devices" (
	"key" text PRIMARY KEY NOT NULL,
	"rollout_id" text NOT NULL,
	"device_id" text NOT NULL,
	"name" text NOT NULL,
	"state" text NOT NULL,
	"reason" text,
	"healthy" bigint,
	"checked" bigint,
	"updated_at_ms" bigint NOT NULL,
	"sent_at_ms" bigint
);
--> statement-breakpoint
CREATE TABLE "rollouts" (
	"id" text PRIMARY KEY NOT NULL,
	"release_id" text NOT NULL,
	"state" text NOT NULL,
	"manifest_digest" text NOT NULL,
	"created_at_ms" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "searches" (
	"id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"state" text NOT NULL,
	"spec" jsonb NOT NULL,
	"adapter_id" text NOT NULL,
	"dataset_id" text NOT NULL,
	"space" jsonb NOT NULL,
	"space_size" double precision NOT NULL,
	"reason" text,
	"chosen_trial_id" text,
	"chosen_reason" text,
	"created_at_ms" bigint NOT NULL,
	"ended_at_ms" bigint
);
--> statement-breakpoint
CREATE TABLE "settings" (
	"key" text PRIMARY KEY NOT NULL,
	"value" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "trainings" (
	"id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"base_id" text NOT NULL,
	"dataset_id" text NOT NULL,
	"state" text NOT NULL,
	"space" jsonb NOT NULL,
	"options" jsonb NOT NULL,
	"step" bigint NOT NULL,
	"loss" double precision,
	"tokens_per_second" double precision,
	"eta_seconds" double precision,
	"adapter_id" text,
	"error" text,
	"created_at_ms" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "trials" (
	"id" text PRIMARY KEY NOT NULL,
	"search_id" text NOT NULL,
	"number" bigint NOT NULL,
	"label" text,
	"genome" text NOT NULL,
	"genome_digest" text NOT NULL,
	"state" text NOT NULL,
	"device_id" text,
	"score" jsonb,
	"final_score" jsonb,
	"measurement" jsonb,
	"reason" text,
	"asked_sequence" bigint NOT NULL,
	"told_sequence" bigint,
	"created_at_ms" bigint NOT NULL
);
--> statement-breakpoint
ALTER TABLE "adapters" ADD CONSTRAINT "adapters_base_id_bases_id_fk" FOREIGN KEY ("base_id") REFERENCES "public"."bases"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "releases" ADD CONSTRAINT "releases_search_id_searches_id_fk" FOREIGN KEY ("search_id") REFERENCES "public"."searches"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "releases" ADD CONSTRAINT "releases_trial_id_trials_id_fk" FOREIGN KEY ("trial_id") REFERENCES "public"."trials"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "rollout_devices" ADD CONSTRAINT "rollout_devices_rollout_id_rollouts_id_fk" FOREIGN KEY ("rollout_id") REFERENCES "public"."rollouts"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "rollouts" ADD CONSTRAINT "rollouts_release_id_releases_id_fk" FOREIGN KEY ("release_id") REFERENCES "public"."releases"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "searches" ADD CONSTRAINT "searches_adapter_id_adapters_id_fk" FOREIGN KEY ("adapter_id") REFERENCES "public"."adapters"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "searches" ADD CONSTRAINT "searches_dataset_id_datasets_id_fk" FOREIGN KEY ("dataset_id") REFERENCES "public"."datasets"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "trainings" ADD CONSTRAINT "trainings_base_id_bases_id_fk" FOREIGN KEY ("base_id") REFERENCES "public"."bases"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "trainings" ADD CONSTRAINT "trainings_dataset_id_datasets_id_fk" FOREIGN KEY ("dataset_id") REFERENCES "public"."datasets"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "trials" ADD CONSTRAINT "trials_search_id_searches_id_fk" FOREIGN KEY ("search_id") REFERENCES "public"."searches"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "adapters_name" ON "adapters" USING btree ("name");--> statement-breakpoint
CREATE UNIQUE INDEX "bases_name" ON "bases" USING btree ("name");--> statement-breakpoint
CREATE UNIQUE INDEX "datasets_name" ON "datasets" USING btree ("name");--> statement-breakpoint
CREATE UNIQUE INDEX "devices_name" ON "devices" USING btree ("name");--> statement-breakpoint
CREATE UNIQUE INDEX "devices_public_key" ON "devices" USING btree ("public_key");--> statement-breakpoint
CREATE INDEX "devices_class" ON "devices" USING btree ("device_class");--> statement-breakpoint
CREATE INDEX "jobs_device_state" ON "jobs" USING btree ("device_id","state");--> statement-breakpoint
CREATE INDEX "jobs_state" ON "jobs" USING btree ("state");--> statement-breakpoint
CREATE INDEX "jobs_trial" ON "jobs" USING btree ("trial_id");--> statement-breakpoint
CREATE UNIQUE INDEX "releases_name" ON "releases" USING btree ("name");--> statement-breakpoint
CREATE UNIQUE INDEX "releases_number" ON "releases" USING btree ("number");--> statement-breakpoint
CREATE INDEX "rollout_devices_rollout" ON "rollout_devices" USING btree ("rollout_id");--> statement-breakpoint
CREATE INDEX "rollouts_state" ON "rollouts" USING btree ("state");--> statement-breakpoint
CREATE UNIQUE INDEX "searches_name" ON "searches" USING btree ("name");--> statement-breakpoint
CREATE INDEX "searches_state" ON "searches" USING btree ("state");--> statement-breakpoint
CREATE UNIQUE INDEX "trainings_name" ON "trainings" USING btree ("name");--> statement-breakpoint
CREATE INDEX "trainings_state" ON "trainings" USING btree ("state");--> statement-breakpoint
CREATE UNIQUE INDEX "trials_search_number" ON "trials" USING btree ("search_id","number");