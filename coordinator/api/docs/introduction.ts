/** What stands above the list of routes, in Markdown. */
export const introduction = `
The API of one coordinator; \`fleetlora\` is a client of it like any other.

- **Token.** Nearly every route wants \`Authorization: Bearer TOKEN\` with the admin token, which
  \`fleetlora up\` keeps in \`admin-token\` of its data folder. *Authorize* above sets it for this page.
- **Errors** are \`{"code", "message"}\`. Programs look at \`code\`, people read \`message\`, which says what was
  found and what was wanted. 503 and 507 pass: try again. Above 499 the reasons are in the coordinator's log.
- **Names and ids.** Where a path says \`{id}\` a name does as well, but for rollouts, which have none. Ids are
  a prefix and a lower-case ULID, so they sort by time.
- **Units** are in the names: \`decodeMs\`, \`peakBytes\`, \`createdAtMs\` (milliseconds since 1970).
- **Bodies** are closed: a field that is not known is refused. JSON bodies have at most 256 KiB; files go
  through \`POST /v1/uploads\` and are named by their SHA-256 afterwards.

A first search: upload and import a base, import a data set, train or import a super-adapter, make a code and
enrol a device with it, start a search, release its chosen point, start a rollout.
`.trim();
