CREATE TABLE "policies" (
	"key" text PRIMARY KEY NOT NULL,
	"kind" text NOT NULL,
	"name" text NOT NULL,
	"policy" jsonb NOT NULL,
	"updated_at_ms" bigint NOT NULL
);
--> statement-breakpoint
ALTER TABLE "datasets" ADD COLUMN "splits" jsonb;--> statement-breakpoint
ALTER TABLE "datasets" ADD COLUMN "task" jsonb;--> statement-breakpoint
ALTER TABLE "datasets" ADD COLUMN "report" jsonb;--> statement-breakpoint
ALTER TABLE "devices" ADD COLUMN "labels" jsonb;--> statement-breakpoint
ALTER TABLE "devices" ADD COLUMN "conditions" jsonb;