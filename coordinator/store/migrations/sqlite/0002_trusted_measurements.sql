DROP INDEX `jobs_trial`;--> statement-breakpoint
ALTER TABLE `jobs` ADD `kind` text;--> statement-breakpoint
ALTER TABLE `jobs` ADD `other_trial_ids` text;--> statement-breakpoint
CREATE INDEX `jobs_search` ON `jobs` (`search_id`);--> statement-breakpoint
ALTER TABLE `devices` ADD `qualification` text;--> statement-breakpoint
ALTER TABLE `devices` ADD `quarantine` text;--> statement-breakpoint
ALTER TABLE `trials` ADD `correction` text;