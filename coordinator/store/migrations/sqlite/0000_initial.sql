CREATE TABLE `adapters` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`base_id` text NOT NULL,
	`digest` text NOT NULL,
	`bytes` integer NOT NULL,
	`rank_max` integer NOT NULL,
	`alpha` real NOT NULL,
	`space` text NOT NULL,
	`files` text NOT NULL,
	`created_at_ms` integer NOT NULL,
	FOREIGN KEY (`base_id`) REFERENCES `bases`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `adapters_name` ON `adapters` (`name`);--> statement-breakpoint
CREATE TABLE `bases` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`digest` text NOT NULL,
	`bytes` integer NOT NULL,
	`parameters` integer NOT NULL,
	`layers` integer NOT NULL,
	`hidden` integer NOT NULL,
	`ffn_width` integer NOT NULL,
	`vocab` integer NOT NULL,
	`tokenizer_digest` text NOT NULL,
	`created_at_ms` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `bases_name` ON `bases` (`name`);--> statement-breakpoint
CREATE TABLE `codes` (
	`hash` text PRIMARY KEY NOT NULL,
	`device_class` text,
	`created_at_ms` integer NOT NULL,
	`expires_at_ms` integer NOT NULL,
	`device_id` text
);
--> statement-breakpoint
CREATE TABLE `datasets` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`digest` text NOT NULL,
	`rows` integer NOT NULL,
	`created_at_ms` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `datasets_name` ON `datasets` (`name`);--> statement-breakpoint
CREATE TABLE `devices` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`device_class` text NOT NULL,
	`public_key` text NOT NULL,
	`facts` text NOT NULL,
	`enrolled_at_ms` integer NOT NULL,
	`online` integer NOT NULL,
	`session` integer,
	`last_seen_at_ms` integer,
	`installed_release_id` text,
	`serve_url` text
);
--> statement-breakpoint
CREATE UNIQUE INDEX `devices_name` ON `devices` (`name`);--> statement-breakpoint
CREATE UNIQUE INDEX `devices_public_key` ON `devices` (`public_key`);--> statement-breakpoint
CREATE INDEX `devices_class` ON `devices` (`device_class`);--> statement-breakpoint
CREATE TABLE `jobs` (
	`id` text PRIMARY KEY NOT NULL,
	`search_id` text NOT NULL,
	`trial_id` text NOT NULL,
	`device_id` text NOT NULL,
	`state` text NOT NULL,
	`body` text NOT NULL,
	`sends` integer NOT NULL,
	`created_at_ms` integer NOT NULL,
	`sent_at_ms` integer,
	`ended_at_ms` integer,
	`result` text,
	`reason` text
);
--> statement-breakpoint
CREATE INDEX `jobs_device_state` ON `jobs` (`device_id`,`state`);--> statement-breakpoint
CREATE INDEX `jobs_state` ON `jobs` (`state`);--> statement-breakpoint
CREATE INDEX `jobs_trial` ON `jobs` (`trial_id`);--> statement-breakpoint
CREATE TABLE `releases` (
	`id` text PRIMARY KEY NOT NULL,
	`number` integer NOT NULL,
	`name` text NOT NULL,
	`search_id` text NOT NULL,
	`trial_id` text NOT NULL,
	`genome` text NOT NULL,
	`package_digest` text NOT NULL,
	`package_bytes` integer NOT NULL,
	`manifest_digest` text NOT NULL,
	`signed` text NOT NULL,
	`created_at_ms` integer NOT NULL,
	FOREIGN KEY (`search_id`) REFERENCES `searches`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`trial_id`) REFERENCES `trials`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `releases_name` ON `releases` (`name`);--> statement-breakpoint
CREATE UNIQUE INDEX `releases_number` ON `releases` (`number`);--> statement-breakpoint
CREATE TABLE `rollout_devices` (
	`key` text PRIMARY KEY NOT NULL,
	`rollout_id` text NOT NULL,
	`device_id` text NOT NULL,
	`name` text NOT NULL,
	`state` text NOT NULL,
	`reason` text,
	`healthy` integer,
	`checked` integer,
	`updated_at_ms` integer NOT NULL,
	`sent_at_ms` integer,
	FOREIGN KEY (`rollout_id`) REFERENCES `rollouts`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `rollout_devices_rollout` ON `rollout_devices` (`rollout_id`);--> statement-breakpoint
CREATE TABLE `rollouts` (
	`id` text PRIMARY KEY NOT NULL,
	`release_id` text NOT NULL,
	`state` text NOT NULL,
	`manifest_digest` text NOT NULL,
	`created_at_ms` integer NOT NULL,
	FOREIGN KEY (`release_id`) REFERENCES `releases`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `rollouts_state` ON `rollouts` (`state`);--> statement-breakpoint
CREATE TABLE `searches` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`state` text NOT NULL,
	`spec` text NOT NULL,
	`adapter_id` text NOT NULL,
	`dataset_id` text NOT NULL,
	`space` text NOT NULL,
	`space_size` real NOT NULL,
	`reason` text,
	`chosen_trial_id` text,
	`chosen_reason` text,
	`created_at_ms` integer NOT NULL,
	`ended_at_ms` integer,
	FOREIGN KEY (`adapter_id`) REFERENCES `adapters`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`dataset_id`) REFERENCES `datasets`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `searches_name` ON `searches` (`name`);--> statement-breakpoint
CREATE INDEX `searches_state` ON `searches` (`state`);--> statement-breakpoint
CREATE TABLE `settings` (
	`key` text PRIMARY KEY NOT NULL,
	`value` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `trainings` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`base_id` text NOT NULL,
	`dataset_id` text NOT NULL,
	`state` text NOT NULL,
	`space` text NOT NULL,
	`options` text NOT NULL,
	`step` integer NOT NULL,
	`loss` real,
	`tokens_per_second` real,
	`eta_seconds` real,
	`adapter_id` text,
	`error` text,
	`created_at_ms` integer NOT NULL,
	FOREIGN KEY (`base_id`) REFERENCES `bases`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`dataset_id`) REFERENCES `datasets`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `trainings_name` ON `trainings` (`name`);--> statement-breakpoint
CREATE INDEX `trainings_state` ON `trainings` (`state`);--> statement-breakpoint
CREATE TABLE `trials` (
	`id` text PRIMARY KEY NOT NULL,
	`search_id` text NOT NULL,
	`number` integer NOT NULL,
	`label` text,
	`genome` text NOT NULL,
	`genome_digest` text NOT NULL,
	`state` text NOT NULL,
	`device_id` text,
	`score` text,
	`final_score` text,
	`measurement` text,
	`reason` text,
	`asked_sequence` integer NOT NULL,
	`told_sequence` integer,
	`created_at_ms` integer NOT NULL,
	FOREIGN KEY (`search_id`) REFERENCES `searches`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `trials_search_number` ON `trials` (`search_id`,`number`);