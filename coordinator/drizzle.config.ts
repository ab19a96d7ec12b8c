import { defineConfig } from 'drizzle-kit';

// Generates the migrations of one engine from the built tables (see the scripts in package.json).
const engine = process.env.FLEETLORA_ENGINE === 'postgres' ? 'postgres' : 'sqlite';

// biome-ignore lint/style/noDefaultExport: drizzle-kit reads the default export
export default defineConfig({
  dialect: engine === 'postgres' ? 'postgresql' : 'sqlite',
  schema: `./dist/store/schemas/${engine}.js`,
  out: `./store/migrations/${engine}`,
});
