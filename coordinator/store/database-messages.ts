/** What travels between the coordinator and the thread that owns its database. */
export interface DatabaseSettings {
  /** file: URL of the database. */
  readonly url: string;
}

export interface DatabaseRequest {
  /** From 1; the thread tells with id 0 that the database is open. */
  readonly id: number;
  readonly connection: 'reader' | 'writer';
  readonly sql: string;
  readonly parameters: readonly unknown[];
}

/** Rows as values in the order of the columns. */
export type DatabaseAnswer =
  | { readonly id: number; readonly rows: unknown[][] }
  | { readonly id: number; readonly error: string };
