ALTER TABLE "adapters" ADD COLUMN "masked" text;--> statement-breakpoint
ALTER TABLE "bases" ADD COLUMN "kv_heads" bigint;--> statement-breakpoint
ALTER TABLE "bases" ADD COLUMN "files" jsonb;--> statement-breakpoint
ALTER TABLE "bases" ADD COLUMN "pruning" jsonb;--> statement-breakpoint
ALTER TABLE "bases" ADD COLUMN "merged" jsonb;