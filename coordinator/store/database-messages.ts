/** What travels between the coordinator and the thread that owns its database. */
export interface DatabaseSettings {
  /** file: URL of the database. */
  readonly url: string;
}

export interface DatabaseRequest {
  /** From 1; the thread tells with id 0 that the database is open. */
  readonly id: number;
  /**
   * `snapshot` is a read transaction beside the writer's; begin and rollback go to it as statements.
   * `close` closes the file, whatever the statement.
   */
  readonly connection: 'reader' | 'writer' | 'snapshot' | 'close';
  readonly sql: string;
  readonly parameters: readonly unknown[];
}

/** Rows as values in the order of the columns; `code` is SQLite's, such as SQLITE_FULL. */
export type DatabaseAnswer =
  | { readonly id: number; readonly rows: unknown[][] }
  | { readonly id: number; readonly error: string; readonly code: string | null };

/** What a statement is rejected with. */
export class SqliteError extends Error {
  override readonly name = 'SqliteError';

  constructor(
    message: string,
    /** SQLite's, such as SQLITE_FULL; null when it was not SQLite that failed. */
    readonly code: string | null,
  ) {
    super(message);
  }
}
