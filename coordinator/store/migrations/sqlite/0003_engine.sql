ALTER TABLE `adapters` ADD `masked` text;--> statement-breakpoint
ALTER TABLE `bases` ADD `kv_heads` integer;--> statement-breakpoint
ALTER TABLE `bases` ADD `files` text;--> statement-breakpoint
ALTER TABLE `bases` ADD `pruning` text;--> statement-breakpoint
ALTER TABLE `bases` ADD `merged` text;