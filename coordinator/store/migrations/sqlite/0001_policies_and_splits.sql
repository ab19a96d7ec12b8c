CREATE TABLE `policies` (
	`key` text PRIMARY KEY NOT NULL,
	`kind` text NOT NULL,
	`name` text NOT NULL,
	`policy` text NOT NULL,
	`updated_at_ms` integer NOT NULL
);
--> statement-breakpoint
ALTER TABLE `datasets` ADD `splits` text;--> statement-breakpoint
ALTER TABLE `datasets` ADD `task` text;--> statement-breakpoint
ALTER TABLE `datasets` ADD `report` text;--> statement-breakpoint
ALTER TABLE `devices` ADD `labels` text;--> statement-breakpoint
ALTER TABLE `devices` ADD `conditions` text;